"""Word lists, and parts of patterns."""

from __future__ import annotations

from helamem.processors.consolidation.claims.predicates import NAME

KINDS = {"puppy": "dog", "kitten": "cat", "bunny": "rabbit", "pony": "horse", "goldfish": "fish"} | dict.fromkeys(
    ("labrador", "poodle", "beagle", "terrier", "retriever", "shepherd", "corgi", "dachshund", "husky"), "dog"
)
TRADES = frozenset(
    """accountant actor actress analyst architect artist assistant attorney baker barber barista bartender biologist
    bookkeeper builder butcher carpenter cashier chef chemist cleaner coach composer consultant cook counselor
    counsellor dancer dentist designer developer dietitian director doctor driver economist editor electrician engineer
    farmer filmmaker firefighter fisherman florist gardener geologist hairdresser historian illustrator instructor
    janitor journalist judge lawyer lecturer librarian lifeguard manager mechanic midwife model musician nanny nurse
    optician painter paralegal paramedic pastor pharmacist photographer physicist physiotherapist pilot plumber
    policeman postman producer professor programmer psychologist realtor receptionist recruiter reporter researcher
    sailor salesman scientist secretary soldier solicitor surgeon surveyor tailor teacher technician therapist trainer
    translator tutor veterinarian vet waiter waitress welder writer""".split()
)
PLACE = r"(?P<place>(?:the |an? )?[A-Z][\w'’.-]*(?:(?: (?:of|de|la|upon))? [A-Z][\w'’-]*){0,3})"
THING = r"(?P<thing>[\w'’+#%-]+(?:,? [\w'’+#%-]+){0,7})"
FIRM = r"(?:at|for|with) (?P<firm>(?:an? |the |my )?[\w'’&.-]+(?: [\w'’&.-]+){0,4})"
ROLE = r"as (?:an? |the )?(?P<trade>[a-z][\w-]*(?: [\w-]+){0,3}?)"
NEW = r"(?P<new>(?:an? |my |the )?(?:new |part-time |full-time |great )*(?:job|position|role)|working|work|out)"
STOP = r"(?=[,.;:!)]|$| (?:and|but|because|now|in|since|so|last|this|again|after|when|at|for|with|on|next)\b)"
KIND = (
    r"(?:[a-z-]+ ){0,3}?(?P<kind>dog|puppy|cat|kitten|rabbit|bunny|hamster|guinea pig|parrot|budgie|canary|bird|fish|"
    r"goldfish|turtle|tortoise|snake|lizard|gecko|horse|pony|ferret|rat|mouse|chicken|goat|labrador|poodle|beagle|"
    r"terrier|retriever|shepherd|corgi|dachshund|husky)"
)
PET = rf"(?:my|our|the|his|her|their) {KIND}(?:,? (?P<name>{NAME}))?"
GOT = r"(?:have|has|got|gotten|adopted|bought|rescued|owns?|welcomed|took in|brought home)(?: us| myself)?"
GIVEN = r"(?:lost|rehomed|sold|gave away|given away|said goodbye to)"
VERB = (
    r"(?P<verb>play|sing|paint|draw|ride|collect|bake|knit|smoke|drink|eat|swim|surf|climb|dance|speak|run|teach|coach|"
    r"volunteer|meditate|ski|skate|practi[cs]e)"
)
VERBING = (
    r"(?P<verb>playing|singing|painting|drawing|riding|collecting|baking|knitting|smoking|drinking|eating|swimming|"
    r"surfing|climbing|dancing|speaking|running|teaching|coaching|volunteering|meditating|skiing|skating|doing|going|"
    r"practi[cs]ing|learning|gardening|boxing|cycling|fishing|hiking|rowing|sailing)"
)
SPORT = (
    r"(?P<thing>yoga|pilates|karate|judo|boxing|running|swimming|climbing|skiing|surfing|cycling|dancing|ballet|"
    r"meditation|crossfit|gymnastics|archery|fencing|rowing|sailing|hiking|fishing|hunting)\b"
)
QUIT = r"(?:stopped|quit|gave up|given up|dropped)"
