# kernel parameter: memmap=960M%1056M-1+0xefffffff
# Devices on soft-reserved memory that begins 32 MiB behind a border of 64 MiB, where RAM ends. The "RAM buffer" reaches
# from there to the next border, and since 7.x a device in it is refused.
. /guest.sh
release_boot_device
snap after boot
echo "@SCENE in the RAM buffer"
map a 0x42000000 0x421fffff; snap right behind RAM
map b 0x43e00000 0x43ffffff; snap the last 2 MiB
map c 0x44000000 0x441fffff; snap behind the buffer
map d 0x43c00000 0x447fffff; snap across its end
