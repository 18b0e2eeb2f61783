// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
/*
 * The timed loops of `engine/probe/loops.rs` around the lookups of a kernel's own headers.
 *
 * Compiled on the user's machine against the headers of one kernel, and never linked into pfnbench.
 * `fact_...` are constants of that kernel, which the loader reads instead of assuming them.
 */
#include <linux/version.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/memory_hotplug.h>
#include <asm/alternative.h>
#include <asm/cpufeatures.h>
#include <generated/utsrelease.h>

typedef unsigned long u;

#define FACT(name, value) const u fact_##name = (u)(value)

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 3, 0)
#error "pfnbench needs Linux 5.3 or later, which has sub-sections"
#endif

const char fact_release[] = UTS_RELEASE;
const char fact_compiler[] = __VERSION__;

FACT(page_shift, PAGE_SHIFT);
FACT(section_size_bits, SECTION_SIZE_BITS);
FACT(subsection_shift, SUBSECTION_SHIFT);
FACT(sections_per_root, SECTIONS_PER_ROOT);
FACT(record_bytes, sizeof(struct page));
FACT(section_bytes, sizeof(struct mem_section));
FACT(section_word_offset, offsetof(struct mem_section, section_mem_map));
FACT(section_usage_offset, offsetof(struct mem_section, usage));
FACT(usage_bytes, sizeof(struct mem_section_usage));
FACT(usage_map_offset, offsetof(struct mem_section_usage, subsection_map));
FACT(flag_present, SECTION_MARKED_PRESENT);
FACT(flag_has_map, SECTION_HAS_MEM_MAP);
FACT(flag_online, SECTION_IS_ONLINE);
FACT(flag_early, SECTION_IS_EARLY);
/* Linux 5.12. An enum value cannot be tested for by the preprocessor, but the version can. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 12, 0)
FACT(flag_taint, SECTION_TAINT_ZONE_DEVICE);
#else
FACT(flag_taint, 0);
#endif
FACT(map_mask, SECTION_MAP_MASK);

FACT(alternative_bytes, sizeof(struct alt_instr));
FACT(alternative_where_offset, offsetof(struct alt_instr, instr_offset));
FACT(alternative_replacement_offset, offsetof(struct alt_instr, repl_offset));
/* The feature follows; `cpuid` itself is a bit field since 6.3. */
FACT(alternative_feature_offset, offsetof(struct alt_instr, repl_offset) + 4);
FACT(alternative_length_offset, offsetof(struct alt_instr, instrlen));
FACT(alternative_replacement_length_offset, offsetof(struct alt_instr, replacementlen));
FACT(feature_always, X86_FEATURE_ALWAYS);
FACT(feature_la57, X86_FEATURE_LA57);

/* Values in a register that the compiler knows nothing about; no instruction. */
#define OPAQUE(value) ({ u opaque_ = (value); asm volatile("" : "+r"(opaque_)); opaque_; })
/* 0, but only once the answer is available. */
#define CARRY(answer) (OPAQUE(answer) >> 63)

/* Sums LOOKUP over the queries, unrolled four times as in Rust. */
#define SUM(query, LOOKUP)                                                                                             \
	do {                                                                                                           \
		u n_ = nr;                                                                                             \
		for (; n_ >= 4; n_ -= 4, queries += 4) {                                                               \
			{ u query = queries[0]; LOOKUP; }                                                              \
			{ u query = queries[1]; LOOKUP; }                                                              \
			{ u query = queries[2]; LOOKUP; }                                                              \
			{ u query = queries[3]; LOOKUP; }                                                              \
		}                                                                                                      \
		for (; n_; n_--, queries++) {                                                                          \
			u query = queries[0];                                                                          \
			LOOKUP;                                                                                        \
		}                                                                                                      \
	} while (0)

/* A lookup is inlined however often the unit has it; a kernel has one or two in a function. */
#define TIMED noinline __aligned(64) __attribute__((flatten))

#define LOOP(name, LOOKUP)                                                                                             \
	u loop_##name(const u *queries, u nr);                                                                         \
	TIMED u loop_##name(const u *queries, u nr)                                                                    \
	{                                                                                                              \
		u sum = 0, carried = 0;                                                                                \
		(void)carried;                                                                                         \
		SUM(query, LOOKUP);                                                                                    \
		return sum;                                                                                            \
	}

#define FLAGS(page) (*(const volatile u *)(page))

/* Single lookups, to compare the answers. */
u one_valid(u pfn);
noinline __attribute__((flatten)) u one_valid(u pfn) { return pfn_valid(pfn); }
u one_to_page(u pfn);
noinline u one_to_page(u pfn) { return (u)pfn_to_page(pfn); }
u one_to_pfn(u page);
noinline u one_to_pfn(u page) { return page_to_pfn((struct page *)page); }
u one_to_flags(u pfn);
noinline __attribute__((flatten)) u one_to_flags(u pfn) { return pfn_valid(pfn) ? FLAGS(pfn_to_page(pfn)) : 0; }

LOOP(valid, sum += OPAQUE(!!pfn_valid(OPAQUE(query))))
LOOP(valid_chained, u answer = !!pfn_valid(OPAQUE(query + carried)); carried = CARRY(answer); sum += answer)
LOOP(valid_branching, if (pfn_valid(OPAQUE(query))) sum += OPAQUE(1ul))
LOOP(valid_called, sum += OPAQUE(one_valid(OPAQUE(query))))
LOOP(to_page, sum += OPAQUE((u)pfn_to_page(OPAQUE(query))))
LOOP(to_page_chained, u answer = (u)pfn_to_page(OPAQUE(query + carried)); carried = CARRY(answer); sum += answer)
LOOP(to_pfn, sum += OPAQUE(page_to_pfn((struct page *)OPAQUE(query))))
LOOP(to_pfn_chained, u answer = page_to_pfn((struct page *)OPAQUE(query + carried)); carried = CARRY(answer); sum += answer)
LOOP(valid_to_page, u pfn = OPAQUE(query); if (pfn_valid(pfn)) sum += OPAQUE(FLAGS(pfn_to_page(pfn))))
LOOP(valid_to_page_chained, u pfn = OPAQUE(query + carried); u answer = 0; if (pfn_valid(pfn)) { asm volatile(""); answer = (u)pfn_to_page(pfn); } carried = CARRY(answer); sum += answer)

/* Linux 6.16. The first valid page frame of each sub-section, found with the kernel's own walk. */
#ifdef for_each_valid_pfn
u one_first_valid(u pfn);
noinline __attribute__((flatten)) u one_first_valid(u pfn) { return first_valid_pfn(pfn, pfn + PAGES_PER_SECTION); }

u loop_walk(u from, u end);
TIMED u loop_walk(u from, u end)
{
	u sum = 0, at = first_valid_pfn(from, end);

	while (at < end) {
		sum += OPAQUE(at);
		at = first_valid_pfn(((at >> (SUBSECTION_SHIFT - PAGE_SHIFT)) + 1) << (SUBSECTION_SHIFT - PAGE_SHIFT), end);
	}
	return sum;
}
#endif
