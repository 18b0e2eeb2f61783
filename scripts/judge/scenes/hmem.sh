# Devices on soft-reserved memory, 0x44000000 to 0x80ffffff: it begins 64 MiB into a section whose front is RAM, and
# ends 16 MiB into one whose rest is RAM. (It begins on a border of 64 MiB because newer kernels keep a "RAM buffer" up
# to the next one.)
. /guest.sh
release_boot_device
snap after boot
echo "@SCENE sizes of 2 to 130 MiB in a row across section borders"
map a 0x48000000 0x481fffff; snap 2 MiB
map b 0x48200000 0x491fffff; snap 16 MiB
map c 0x49200000 0x4c1fffff; snap 48 MiB
map d 0x4c200000 0x4f3fffff; snap 50 MiB
map e 0x4f400000 0x543fffff; snap 80 MiB over a border
map f 0x54400000 0x5c5fffff; snap 130 MiB over a border
echo "@SCENE removal in another order, and again"
for key in c f; do off $key; snap $key off; done
on c; snap c on
for key in a d b c; do off $key; snap $key off; done
on f; snap f on
off e; snap e off
on a; snap a on
for key in a b c d e f; do drop $key; done
snap all dropped
echo "@SCENE beside RAM in a boot section"
map a 0x44000000 0x443fffff; snap right behind RAM
map b 0x47e00000 0x47ffffff; snap the last 2 MiB of the section
map c 0x44400000 0x47dfffff; snap what is between
off a; snap a off
map d 0x80000000 0x801fffff; snap the first 2 MiB of the last section
map e 0x80600000 0x80ffffff; snap right before RAM
off d; snap d off
for key in a b c; do drop $key; done
snap the front dropped
for key in d e; do drop $key; done
snap the back dropped
echo "@SCENE from a boot section into an added one"
map a 0x47000000 0x48ffffff; snap 32 MiB over the border
map b 0x7e000000 0x80bfffff; snap 44 MiB over the border
off a; snap a off
on a; snap a on
for key in a b; do drop $key; done
snap dropped
echo "@SCENE eight devices of 16 MiB fill a section"
for nr in 0 1 2 3 4 5 6 7; do map h$nr 0x5${nr}000000 0x5${nr}ffffff; done
snap full
for nr in 3 0 7 1 5 6 2 4; do off h$nr; snap h$nr off; done
for nr in 4 3; do on h$nr; snap h$nr on; done
for nr in 0 1 2 3 4 5 6 7; do drop h$nr; done
snap dropped
echo "@SCENE whole sections, and whole sections with parts"
map a 0x60000000 0x6fffffff; snap 256 MiB
map b 0x70000000 0x700fffff; snap 1 MiB is refused
map c 0x70000000 0x701fffff; snap a part behind
off a; snap a off
on a; snap a on
for key in c a; do drop $key; done
snap dropped
echo "@SCENE the whole region"
map a 0x44000000 0x80ffffff; snap 976 MiB
off a; snap a off
drop a
echo "@SCENE one device of three ranges"
map a 0x68000000 0x681fffff 0x69000000 0x69ffffff 0x70000000 0x703fffff; snap three ranges
map b 0x68200000 0x68ffffff; snap between two of them
off a; snap a off
on a; snap a on
for key in b a; do drop $key; done
snap dropped
