"""The joint: one short file per stage, input folders -> one output folder."""
