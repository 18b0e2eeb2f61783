/* A section table whose sizes, offsets and flags are those of no kernel. */
#define PAGE_SHIFT 12
#define SECTION_SIZE_BITS 27
#define SUBSECTION_SHIFT 21
#define SECTIONS_PER_ROOT 102ul

#define SECTION_IS_EARLY (1ul << 1)
#define SECTION_HAS_MEM_MAP (1ul << 2)
#define SECTION_IS_ONLINE (1ul << 3)
#define SECTION_MARKED_PRESENT (1ul << 4)
#define SECTION_TAINT_ZONE_DEVICE (1ul << 5)
#define SECTION_MAP_MASK (~63ul)

struct mem_section_usage {
	unsigned long before[3], subsection_map[1];
};

struct mem_section {
	struct mem_section_usage *usage;
	unsigned long between[3], section_mem_map;
};

extern struct mem_section **mem_section;
extern unsigned long vmemmap_base;
extern int __preempt_count;

/* 1 or 2; alternatives for pages of four or five levels replace it. */
static inline int levels(void)
{
	int levels;

	asm("1: mov $1, %0\n"
	    "2:\n"
	    ".pushsection .altinstr_replacement, \"ax\"\n"
	    "3: mov $2, %0\n"
	    "4:\n"
	    ".popsection\n"
	    ".pushsection .altinstructions, \"a\"\n"
	    ".long 1b - ., 3b - .\n"
	    ".word 7\n"
	    ".byte 2b - 1b, 4b - 3b\n"
	    ".popsection"
	    : "=r"(levels));
	return levels;
}

static inline int pfn_valid(unsigned long pfn)
{
	unsigned long nr = pfn >> (SECTION_SIZE_BITS - PAGE_SHIFT), bit = (pfn >> 9) & 63;
	struct mem_section *root, *section;
	int valid = 0;

	if (nr >> (levels() == 1 ? 19 : 25))
		return 0;
	root = mem_section[nr / SECTIONS_PER_ROOT];
	if (!root)
		return 0;
	section = &root[nr % SECTIONS_PER_ROOT];
	asm volatile("incl %%gs:%0" : "+m"(__preempt_count));
	if (section->section_mem_map & SECTION_HAS_MEM_MAP)
		valid = section->section_mem_map & SECTION_IS_EARLY || section->usage->subsection_map[0] >> bit & 1;
	asm volatile("decl %%gs:%0" : "+m"(__preempt_count));
	return valid;
}

#define pfn_to_page(pfn) ((struct page *)vmemmap_base + (pfn))
#define page_to_pfn(record) ((unsigned long)((record) - (struct page *)vmemmap_base))
