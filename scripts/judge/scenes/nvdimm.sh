# Namespaces in a region of 2 GiB.
. /guest.sh
M=1048576
snap after boot
reset; snap an empty region
echo "@SCENE the ten namespaces of sub-section.sh"
for nr in 0 1 2 3 4 5 6 7 8 9; do namespace s$nr fsdax $((16 * M)) 2M mem; snap s$nr; done
for nr in 0 1 2 3 4 5 6 7 8 9; do
    namespace_off s$nr; snap s$nr off
    namespace_on s$nr; snap s$nr on
    namespace_delete s$nr; snap s$nr deleted
done
reset
echo "@SCENE sizes, modes and places of records"
namespace a devdax $((48 * M)) 2M mem; snap a
namespace b devdax $((48 * M)) 4K mem; snap b
namespace c devdax $((80 * M)) 2M dev; snap c
namespace d devdax $((16 * M)) 2M mem; snap d
namespace e fsdax $((32 * M)) 2M mem; snap e
namespace f fsdax $((128 * M)) 2M dev; snap f
namespace g devdax $((176 * M)) 2M dev; snap g
namespace h devdax $((256 * M)) 4K dev; snap h
namespace i fsdax $((48 * M)) 4K dev; snap i
namespace_off c; snap c off
namespace_delete b; snap b deleted
namespace_on c; snap c on
namespace_delete e; snap e deleted
namespace_off g; snap g off
namespace_delete a; snap a deleted
namespace_on g; snap g on
echo "@SCENE new namespaces between old ones"
namespace j devdax $((64 * M)) 2M mem; snap j
namespace k devdax $((48 * M)) 2M dev; snap k
namespace l devdax $((32 * M)) 2M mem; snap l
namespace m devdax $((16 * M)) 2M mem; snap m
namespace n devdax $((17 * M)) 2M mem; snap n is refused
for key in c d f g h i j k l m; do namespace_delete $key; snap $key deleted; done
reset
echo "@SCENE alignment of 1 GiB"
namespace a devdax $((1024 * M)) 1G mem; snap 1 GiB
reset
namespace b devdax $((2048 * M)) 1G mem; snap 2 GiB
namespace_delete b; snap b deleted
reset
echo "@SCENE a region aligned to 2 MiB, by sysfs"
align_region 0x200000
raw_namespace z $((14 * M)) 4096 mem; snap 14 MiB
reset
align_region 0x200000
raw_namespace a $((16 * M)) 4096 mem; snap 16 MiB
raw_namespace b $((18 * M)) 4096 mem; snap 18 MiB
raw_namespace c $((22 * M)) 2097152 mem; snap 22 MiB
raw_namespace d $((34 * M)) 4096 dev; snap 34 MiB
raw_namespace e $((50 * M)) 2097152 mem; snap 50 MiB
raw_namespace f $((130 * M)) 2097152 dev; snap 130 MiB
raw_namespace g $((258 * M)) 4096 dev; snap 258 MiB
raw_off b; snap b off
raw_off f; snap f off
raw_on b; snap b on
raw_delete a; snap a deleted
raw_on f; snap f on
raw_delete d; snap d deleted
for key in b c e f g; do raw_delete $key; snap $key deleted; done
reset
align_region 0x1000
echo "@SCENE starts off the grid"
raw_namespace a $((16 * M + 4096)) 4096 mem; snap 16 MiB and 4 KiB
raw_namespace b $((16 * M)) 4096 mem; snap behind it
