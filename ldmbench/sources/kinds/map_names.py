"""Names of the classes of maps, which files of maps have as numbers alone."""

from __future__ import annotations

__all__ = ["ADE20K", "COCO_STUFF"]


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(";"))


ADE20K = _names(
    """
wall; building, edifice; sky; floor, flooring; tree; ceiling; road, route; bed; windowpane,
window; grass; cabinet; sidewalk, pavement; person, individual, someone, somebody, mortal, soul;
earth, ground; door, double door; table; mountain, mount; plant, flora, plant life; curtain,
drape, drapery, mantle, pall; chair; car, auto, automobile, machine, motorcar; water; painting,
picture; sofa, couch, lounge; shelf; house; sea; mirror; rug, carpet, carpeting; field; armchair;
seat; fence, fencing; desk; rock, stone; wardrobe, closet, press; lamp; bathtub, bathing tub,
bath, tub; railing, rail; cushion; base, pedestal, stand; box; column, pillar; signboard, sign;
chest of drawers, chest, bureau, dresser; counter; sand; sink; skyscraper; fireplace, hearth, open
fireplace; refrigerator, icebox; grandstand, covered stand; path; stairs, steps; runway; case,
display case, showcase, vitrine; pool table, billiard table, snooker table; pillow; screen door,
screen; stairway, staircase; river; bridge, span; bookcase; blind, screen; coffee table, cocktail
table; toilet, can, commode, crapper, pot, potty, stool, throne; flower; book; hill; bench;
countertop; stove, kitchen stove, range, kitchen range, cooking stove; palm, palm tree; kitchen
island; computer, computing machine, computing device, data processor, electronic computer,
information processing system; swivel chair; boat; bar; arcade machine; hovel, hut, hutch, shack,
shanty; bus, autobus, coach, charabanc, double-decker, jitney, motorbus, motorcoach, omnibus,
passenger vehicle; towel; light, light source; truck, motortruck; tower; chandelier, pendant,
pendent; awning, sunshade, sunblind; streetlight, street lamp; booth, cubicle, stall, kiosk;
television, television receiver, television set, tv, tv set, idiot box, boob tube, telly, goggle
box; airplane, aeroplane, plane; dirt track; apparel, wearing apparel, dress, clothes; pole; land,
ground, soil; bannister, banister, balustrade, balusters, handrail; escalator, moving staircase,
moving stairway; ottoman, pouf, pouffe, puff, hassock; bottle; buffet, counter, sideboard; poster,
posting, placard, notice, bill, card; stage; van; ship; fountain; conveyer belt, conveyor belt,
conveyer, conveyor, transporter; canopy; washer, automatic washer, washing machine; plaything,
toy; swimming pool, swimming bath, natatorium; stool; barrel, cask; basket, handbasket; waterfall,
falls; tent, collapsible shelter; bag; minibike, motorbike; cradle; oven; ball; food, solid food;
step, stair; tank, storage tank; trade name, brand name, brand, marque; microwave, microwave oven;
pot, flowerpot; animal, animate being, beast, brute, creature, fauna; bicycle, bike, wheel, cycle;
lake; dishwasher, dish washer, dishwashing machine; screen, silver screen, projection screen;
blanket, cover; sculpture; hood, exhaust hood; sconce; vase; traffic light, traffic signal,
stoplight; tray; ashcan, trash can, garbage can, wastebin, ash bin, ash-bin, ashbin, dustbin,
trash barrel, trash bin; fan; pier, wharf, wharfage, dock; crt screen; plate; monitor, monitoring
device; bulletin board, notice board; shower; radiator; glass, drinking glass; clock; flag
"""
)
"""The 150 of ADEChallengeData2016, in the order of its objectInfo150.txt; several names of one
class stand behind commas."""
COCO_STUFF = _names(
    """
person; bicycle; car; motorcycle; airplane; bus; train; truck; boat; traffic light; fire hydrant;
street sign; stop sign; parking meter; bench; bird; cat; dog; horse; sheep; cow; elephant; bear;
zebra; giraffe; hat; backpack; umbrella; shoe; eye glasses; handbag; tie; suitcase; frisbee; skis;
snowboard; sports ball; kite; baseball bat; baseball glove; skateboard; surfboard; tennis racket;
bottle; plate; wine glass; cup; fork; knife; spoon; bowl; banana; apple; sandwich; orange;
broccoli; carrot; hot dog; pizza; donut; cake; chair; couch; potted plant; bed; mirror; dining
table; window; desk; toilet; door; tv; laptop; mouse; remote; keyboard; cell phone; microwave;
oven; toaster; sink; refrigerator; blender; book; clock; vase; scissors; teddy bear; hair drier;
toothbrush; hair brush; banner; blanket; branch; bridge; building-other; bush; cabinet; cage;
cardboard; carpet; ceiling-other; ceiling-tile; cloth; clothes; clouds; counter; cupboard;
curtain; desk-stuff; dirt; door-stuff; fence; floor-marble; floor-other; floor-stone; floor-tile;
floor-wood; flower; fog; food-other; fruit; furniture-other; grass; gravel; ground-other; hill;
house; leaves; light; mat; metal; mirror-stuff; moss; mountain; mud; napkin; net; paper; pavement;
pillow; plant-other; plastic; platform; playingfield; railing; railroad; river; road; rock; roof;
rug; salad; sand; sea; shelf; sky-other; skyscraper; snow; solid-other; stairs; stone; straw;
structural-other; table; tent; textile-other; towel; tree; vegetable; wall-brick; wall-concrete;
wall-other; wall-panel; wall-stone; wall-tile; wall-wood; water-other; waterdrops; window-blind;
window-other; wood
"""
)
"""Things and stuff of COCO-Stuff: class k is row k + 1 of its labels.txt, since row 0 is no
class."""
