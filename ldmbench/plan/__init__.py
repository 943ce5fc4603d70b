"""Suite -> Plan."""
