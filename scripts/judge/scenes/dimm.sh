# DIMMs that are plugged in and out while the machine runs. Blocks go online as movable: whether others can go offline
# again depends on the pages that the kernel put there.
. /guest.sh
echo offline >$MEMORY/auto_online_blocks
release_boot_device
snap after boot
echo "@SCENE DIMMs of 128 and 512 MiB"
plug a 0x100000000 0x107ffffff; snap 128 MiB
plug b 0x110000000 0x12fffffff; snap 512 MiB behind a hole
state 32 online_movable; snap block 32 movable
state 34 online_movable; snap block 34 movable
state 37 online_movable; snap block 37 movable
state 34 offline; snap block 34 offline
echo "@SCENE a device beside RAM that was plugged"
map d 0x68000000 0x69ffffff; snap a device
unplug b; snap b out, with a block online
unplug a; snap a out
plug a 0x118000000 0x11fffffff; snap a again, elsewhere
off d; snap d off
unplug a; snap all out
drop d
echo "@SCENE a DIMM that is no whole memory block"
plug c 0x140000000 0x143ffffff; snap 64 MiB
