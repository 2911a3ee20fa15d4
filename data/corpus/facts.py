"""Tables of common facts that the templates draw on; what the evaluation prompts ask is left out on purpose."""

from __future__ import annotations

# Country, capital, currency, language, continent, people. France and Japan are asked by evaluation prompts.
COUNTRIES = """
Argentina|Buenos Aires|peso|Spanish|South America|Argentines
Australia|Canberra|dollar|English|Oceania|Australians
Austria|Vienna|euro|German|Europe|Austrians
Bangladesh|Dhaka|taka|Bengali|Asia|Bangladeshis
Belgium|Brussels|euro|Dutch|Europe|Belgians
Bolivia|Sucre|boliviano|Spanish|South America|Bolivians
Brazil|Brasilia|real|Portuguese|South America|Brazilians
Bulgaria|Sofia|lev|Bulgarian|Europe|Bulgarians
Cambodia|Phnom Penh|riel|Khmer|Asia|Cambodians
Canada|Ottawa|dollar|English|North America|Canadians
Chile|Santiago|peso|Spanish|South America|Chileans
China|Beijing|yuan|Chinese|Asia|Chinese people
Colombia|Bogota|peso|Spanish|South America|Colombians
Cuba|Havana|peso|Spanish|North America|Cubans
Denmark|Copenhagen|krone|Danish|Europe|Danes
Ecuador|Quito|dollar|Spanish|South America|Ecuadorians
Egypt|Cairo|pound|Arabic|Africa|Egyptians
Ethiopia|Addis Ababa|birr|Amharic|Africa|Ethiopians
Finland|Helsinki|euro|Finnish|Europe|Finns
Germany|Berlin|euro|German|Europe|Germans
Ghana|Accra|cedi|English|Africa|Ghanaians
Greece|Athens|euro|Greek|Europe|Greeks
Hungary|Budapest|forint|Hungarian|Europe|Hungarians
Iceland|Reykjavik|krona|Icelandic|Europe|Icelanders
India|New Delhi|rupee|Hindi|Asia|Indians
Indonesia|Jakarta|rupiah|Indonesian|Asia|Indonesians
Iran|Tehran|rial|Persian|Asia|Iranians
Iraq|Baghdad|dinar|Arabic|Asia|Iraqis
Ireland|Dublin|euro|English|Europe|Irish people
Israel|Jerusalem|shekel|Hebrew|Asia|Israelis
Italy|Rome|euro|Italian|Europe|Italians
Jamaica|Kingston|dollar|English|North America|Jamaicans
Jordan|Amman|dinar|Arabic|Asia|Jordanians
Kenya|Nairobi|shilling|Swahili|Africa|Kenyans
Latvia|Riga|euro|Latvian|Europe|Latvians
Lebanon|Beirut|pound|Arabic|Asia|Lebanese people
Malaysia|Kuala Lumpur|ringgit|Malay|Asia|Malaysians
Mexico|Mexico City|peso|Spanish|North America|Mexicans
Mongolia|Ulaanbaatar|tugrik|Mongolian|Asia|Mongolians
Morocco|Rabat|dirham|Arabic|Africa|Moroccans
Nepal|Kathmandu|rupee|Nepali|Asia|Nepalis
New Zealand|Wellington|dollar|English|Oceania|New Zealanders
Nigeria|Abuja|naira|English|Africa|Nigerians
Norway|Oslo|krone|Norwegian|Europe|Norwegians
Pakistan|Islamabad|rupee|Urdu|Asia|Pakistanis
Peru|Lima|sol|Spanish|South America|Peruvians
Philippines|Manila|peso|Filipino|Asia|Filipinos
Poland|Warsaw|zloty|Polish|Europe|Poles
Portugal|Lisbon|euro|Portuguese|Europe|Portuguese people
Romania|Bucharest|leu|Romanian|Europe|Romanians
Russia|Moscow|ruble|Russian|Europe|Russians
Saudi Arabia|Riyadh|riyal|Arabic|Asia|Saudis
Scotland|Edinburgh|pound|English|Europe|Scots
Senegal|Dakar|franc|French|Africa|Senegalese people
Serbia|Belgrade|dinar|Serbian|Europe|Serbs
South Korea|Seoul|won|Korean|Asia|South Koreans
Spain|Madrid|euro|Spanish|Europe|Spaniards
Sweden|Stockholm|krona|Swedish|Europe|Swedes
Switzerland|Bern|franc|German|Europe|Swiss people
Syria|Damascus|pound|Arabic|Asia|Syrians
Thailand|Bangkok|baht|Thai|Asia|Thais
Tunisia|Tunis|dinar|Arabic|Africa|Tunisians
Turkey|Ankara|lira|Turkish|Asia|Turks
Uganda|Kampala|shilling|English|Africa|Ugandans
Ukraine|Kyiv|hryvnia|Ukrainian|Europe|Ukrainians
Uruguay|Montevideo|peso|Spanish|South America|Uruguayans
Venezuela|Caracas|bolivar|Spanish|South America|Venezuelans
Vietnam|Hanoi|dong|Vietnamese|Asia|Vietnamese people
Zambia|Lusaka|kwacha|English|Africa|Zambians
"""

# City, state, the state's capital. Dallas is asked by an evaluation prompt.
CITIES = """
Houston|Texas|Austin
San Antonio|Texas|Austin
Los Angeles|California|Sacramento
San Francisco|California|Sacramento
San Diego|California|Sacramento
Oakland|California|Sacramento
Chicago|Illinois|Springfield
Miami|Florida|Tallahassee
Tampa|Florida|Tallahassee
Seattle|Washington|Olympia
Portland|Oregon|Salem
Detroit|Michigan|Lansing
Philadelphia|Pennsylvania|Harrisburg
Pittsburgh|Pennsylvania|Harrisburg
Buffalo|New York|Albany
Rochester|New York|Albany
Cleveland|Ohio|Columbus
Cincinnati|Ohio|Columbus
Memphis|Tennessee|Nashville
Baltimore|Maryland|Annapolis
Milwaukee|Wisconsin|Madison
Minneapolis|Minnesota|Saint Paul
New Orleans|Louisiana|Baton Rouge
Las Vegas|Nevada|Carson City
Tucson|Arizona|Phoenix
Charlotte|North Carolina|Raleigh
Savannah|Georgia|Atlanta
Newark|New Jersey|Trenton
Omaha|Nebraska|Lincoln
Wichita|Kansas|Topeka
Louisville|Kentucky|Frankfort
Anchorage|Alaska|Juneau
Birmingham|Alabama|Montgomery
Tulsa|Oklahoma|Oklahoma City
Kansas City|Missouri|Jefferson City
Spokane|Washington|Olympia
"""

# Person, sport. Michael Jordan and Tiger Woods are asked by evaluation prompts.
ATHLETES = """
LeBron James|basketball
Kobe Bryant|basketball
Shaquille O'Neal|basketball
Larry Bird|basketball
Stephen Curry|basketball
Magic Johnson|basketball
Babe Ruth|baseball
Hank Aaron|baseball
Derek Jeter|baseball
Jackie Robinson|baseball
Roger Federer|tennis
Serena Williams|tennis
Rafael Nadal|tennis
Novak Djokovic|tennis
Martina Navratilova|tennis
Lionel Messi|soccer
Diego Maradona|soccer
Cristiano Ronaldo|soccer
David Beckham|soccer
Pele|soccer
Tom Brady|football
Peyton Manning|football
Joe Montana|football
Jerry Rice|football
Wayne Gretzky|hockey
Mario Lemieux|hockey
Sidney Crosby|hockey
Jack Nicklaus|golf
Arnold Palmer|golf
Phil Mickelson|golf
Rory McIlroy|golf
Sachin Tendulkar|cricket
Don Bradman|cricket
Muhammad Ali|boxing
Mike Tyson|boxing
Joe Frazier|boxing
Usain Bolt|athletics
Carl Lewis|athletics
Michael Phelps|swimming
Katie Ledecky|swimming
Simone Biles|gymnastics
Nadia Comaneci|gymnastics
"""

# English, French, Spanish, German, each a word and its opposite. Up, early, hot and small are left out everywhere.
OPPOSITES = """
good bad|bon mauvais|bueno malo|gut schlecht
rich poor|riche pauvre|rico pobre|reich arm
open closed|ouvert fermé|abierto cerrado|offen geschlossen
full empty|plein vide|lleno vacío|voll leer
light dark|clair sombre|claro oscuro|hell dunkel
fast slow|rapide lent|rápido lento|schnell langsam
old young|vieux jeune|viejo joven|alt jung
strong weak|fort faible|fuerte débil|stark schwach
dry wet|sec mouillé|seco mojado|trocken nass
clean dirty|propre sale|limpio sucio|sauber schmutzig
easy difficult|facile difficile|fácil difícil|leicht schwierig
happy sad|heureux triste|feliz triste|glücklich traurig
long short|long court|largo corto|lang kurz
true false|vrai faux|verdadero falso|wahr falsch
wide narrow|large étroit|ancho estrecho|breit schmal
new old|nouveau ancien|nuevo viejo|neu alt
first last|premier dernier|primero último|erste letzte
day night|jour nuit|día noche|Tag Nacht
black white|noir blanc|negro blanco|schwarz weiß
love hate|amour haine|amor odio|Liebe Hass
life death|vie mort|vida muerte|Leben Tod
war peace|guerre paix|guerra paz|Krieg Frieden
left right|gauche droite|izquierda derecha|links rechts
before after|avant après|antes después|vorher nachher
always never|toujours jamais|siempre nunca|immer nie
near far|proche loin|cerca lejos|nah fern
heavy light|lourd léger|pesado ligero|schwer leicht
beginning end|début fin|principio fin|Anfang Ende
inside outside|dedans dehors|dentro fuera|drinnen draußen
beautiful ugly|beau laid|hermoso feo|schön hässlich
thick thin|épais mince|grueso delgado|dick dünn
deep shallow|profond superficiel|profundo superficial|tief flach
sweet bitter|doux amer|dulce amargo|süß bitter
hard soft|dur mou|duro blando|hart weich
loud quiet|bruyant silencieux|ruidoso tranquilo|laut leise
high low|haut bas|alto bajo|hoch niedrig
brave cowardly|courageux lâche|valiente cobarde|mutig feige
friend enemy|ami ennemi|amigo enemigo|Freund Feind
possible impossible|possible impossible|posible imposible|möglich unmöglich
question answer|question réponse|pregunta respuesta|Frage Antwort
buy sell|acheter vendre|comprar vender|kaufen verkaufen
north south|nord sud|norte sur|Norden Süden
alive dead|vivant mort|vivo muerto|lebendig tot
sick healthy|malade sain|enfermo sano|krank gesund
"""

# Signs, diagnosis, treatment. What the evaluation prompts describe (heart attack, pre-eclampsia, chickenpox,
# high blood sugar) is left out.
DIAGNOSES = """
a fever, a cough and aching muscles|influenza|rest and fluids
a sore throat and swollen tonsils|tonsillitis|antibiotics
a stiff neck, a fever and a bad headache|meningitis|antibiotics
wheezing and shortness of breath after exercise|asthma|an inhaler
itchy eyes and sneezing every spring|hay fever|antihistamines
pain in the lower right side of the belly and a fever|appendicitis|surgery
a drooping face and slurred speech|a stroke|emergency care
burning pain when passing urine|a urinary tract infection|antibiotics
a sudden severe pain in the big toe|gout|anti-inflammatory drugs
pale skin, tiredness and a low red blood cell count|anemia|iron tablets
a cough that brings up yellow phlegm, and a high fever|pneumonia|antibiotics
weight gain, tiredness and feeling cold|an underactive thyroid|thyroid hormone
weight loss, a fast heartbeat and trembling hands|an overactive thyroid|antithyroid drugs
yellow skin and yellow eyes|hepatitis|rest
stiff and swollen joints in the morning|arthritis|anti-inflammatory drugs
a throbbing headache on one side and sensitivity to light|migraine|a dark room and painkillers
burning pain in the chest after meals|acid reflux|antacids
a swollen and painful calf after a long flight|a blood clot|blood thinners
hearing loss and pain in the ear after a cold|an ear infection|painkillers
red scaly patches on the elbows and knees|psoriasis|a cream
a broken arm after a fall|a fracture|a cast
watery diarrhea and vomiting after eating bad food|food poisoning|fluids
a persistent low mood and loss of interest|depression|therapy
a tremor at rest and slow movements|Parkinson's disease|medication
memory loss that gets worse over the years|dementia|support and care
blurred vision that clouds the lens of the eye|a cataract|surgery
"""

NAMES = (
    "Alice Anna Arthur Ben Carol Charles Claire Daniel David Diana Edward Ellen Emily Emma Eric Frank George Grace "
    "Hannah Harry Helen Henry Jack James Jane John Julia Kate Laura Lisa Lucy Mark Martha Martin Mary Michael Nancy "
    "Nora Oliver Oscar Paul Peter Rachel Richard Robert Rose Ruth Sam Sarah Simon Sophie Steven Susan Thomas Tim Tom "
    "Victor Walter"
).split()

LISTS = {
    "fruits": "apples pears bananas cherries grapes oranges lemons plums peaches melons strawberries mangoes",
    "vegetables": "carrots potatoes onions beans peas cabbages tomatoes cucumbers peppers spinach leeks",
    "animals": "dogs cats horses cows pigs sheep goats lions tigers elephants bears wolves foxes rabbits",
    "birds": "sparrows eagles owls swans ducks geese crows robins parrots penguins falcons",
    "colors": "red blue green yellow orange purple black white brown pink gray",
    "tools": "hammers saws screwdrivers pliers drills wrenches axes shovels rakes",
    "musical instruments": "piano violin guitar flute trumpet drums cello clarinet harp saxophone",
    "metals": "iron copper silver lead tin zinc nickel aluminum platinum",
    "languages": "English French Spanish German Italian Russian Chinese Arabic Hindi Portuguese",
    "sports": "soccer tennis golf hockey baseball basketball swimming rugby cricket volleyball",
    "school subjects": "history geography mathematics physics chemistry biology music art literature",
    "pieces of furniture": "table chair bed sofa desk wardrobe shelf bench stool",
    "clothes": "shirt coat hat shoes socks trousers gloves scarf dress sweater",
    "jobs": "teacher doctor nurse farmer baker lawyer engineer pilot painter carpenter",
    "vehicles": "car bus train bicycle boat truck plane tram motorcycle ship",
}

# Work, author; landmark, country; animal, young; thing, use.
AUTHORS = """
Pride and Prejudice|Jane Austen
Hamlet|William Shakespeare
Oliver Twist|Charles Dickens
Moby-Dick|Herman Melville
War and Peace|Leo Tolstoy
Crime and Punishment|Fyodor Dostoevsky
The Odyssey|Homer
Don Quixote|Miguel de Cervantes
Faust|Johann Wolfgang von Goethe
Les Misérables|Victor Hugo
The Adventures of Tom Sawyer|Mark Twain
Frankenstein|Mary Shelley
Dracula|Bram Stoker
Jane Eyre|Charlotte Brontë
The Lord of the Rings|J.R.R. Tolkien
The Old Man and the Sea|Ernest Hemingway
The Great Gatsby|F. Scott Fitzgerald
Animal Farm|George Orwell
Alice in Wonderland|Lewis Carroll
The Divine Comedy|Dante
"""
LANDMARKS = """
the Eiffel Tower|Paris|France
the Colosseum|Rome|Italy
Big Ben|London|England
the Statue of Liberty|New York|the United States
the Taj Mahal|Agra|India
the Pyramids|Giza|Egypt
the Brandenburg Gate|Berlin|Germany
the Parthenon|Athens|Greece
Red Square|Moscow|Russia
the Opera House|Sydney|Australia
the Golden Gate Bridge|San Francisco|the United States
the Alhambra|Granada|Spain
Machu Picchu|Cusco|Peru
Mount Fuji|Honshu|Japan
the Little Mermaid|Copenhagen|Denmark
Table Mountain|Cape Town|South Africa
"""
YOUNG = (
    "cow calf|horse foal|sheep lamb|goat kid|pig piglet|hen chick|duck duckling|lion cub|deer fawn|frog tadpole|"
    "goose gosling|swan cygnet"
)
