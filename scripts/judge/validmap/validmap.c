// SPDX-License-Identifier: GPL-2.0-only
/*
 * A validmap of the running kernel: one byte a section, and in sections that are valid in part one bit
 * a sub-section, answer what pfn_valid answers.
 *
 * /dev/validmap: how many page frames below an end were compared with pfn_valid, and how many differ.
 * Writing a number sets the end. The map covers 64 TiB.
 *
 * /dev/validmap_count: instructions of a lookup from a page frame on, of pfn_valid and of the map, in
 * thousandths, and the answer. Writing a number sets the page frame. The time-stamp counter must
 * advance by one for each instruction, as with QEMU's -icount shift=0.
 */
#include <linux/kprobes.h>
#include <linux/memory.h>
#include <linux/memory_hotplug.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <asm/msr.h>

enum { ABSENT, IN_PART, WHOLE };

static u8 *states;
static unsigned long *bits;
static unsigned long nr_sections, end_pfn;
/* Additions and removals are serialised, but the first filling is not one of them. */
static DEFINE_SPINLOCK(writer);

static unsigned long compare_end = 0x180000, count_from = 0x1000;

/* The lookup. */
static __always_inline bool validmap_valid(unsigned long pfn)
{
	u8 state;

	if (pfn >= end_pfn)
		return false;
	state = smp_load_acquire(&states[pfn_to_section_nr(pfn)]);
	if (likely(state >= WHOLE))
		return true;
	return state == IN_PART &&
	       smp_load_acquire(&bits[pfn_to_section_nr(pfn)]) >> subsection_map_index(pfn) & 1;
}

static void set_section(unsigned long nr, unsigned long word)
{
	/* A reader must not find all of it valid while bits go. */
	if (word != ~0UL && READ_ONCE(states[nr]) == WHOLE)
		smp_store_release(&states[nr], IN_PART);
	smp_store_release(&bits[nr], word);
	smp_store_release(&states[nr], word == ~0UL ? WHOLE : word ? IN_PART : ABSENT);
}

/* Takes over what pfn_valid answers for the sections of a range. */
static void follow(unsigned long pfn, unsigned long nr_pages)
{
	unsigned long nr, last, word, sub, flags;

	if (!nr_pages || pfn >= end_pfn)
		return;
	last = min(pfn_to_section_nr(pfn + nr_pages - 1), nr_sections - 1);
	for (nr = pfn_to_section_nr(pfn); nr <= last; nr++) {
		spin_lock_irqsave(&writer, flags);
		word = 0;
		if (valid_section(__nr_to_section(nr)))
			for (sub = 0; sub < SUBSECTIONS_PER_SECTION; sub++)
				if (pfn_valid(section_nr_to_pfn(nr) + sub * PAGES_PER_SUBSECTION))
					word |= 1UL << sub;
		set_section(nr, word);
		spin_unlock_irqrestore(&writer, flags);
	}
}

/* Clears a range before it goes. A section of boot memory stays valid until its last part goes. */
static void hide(unsigned long pfn, unsigned long nr_pages)
{
	unsigned long end = min(pfn + nr_pages, end_pfn), next, nr, range, left, flags;
	struct mem_section *section;

	for (; pfn < end; pfn = next) {
		nr = pfn_to_section_nr(pfn);
		next = min(end, section_nr_to_pfn(nr + 1));
		range = GENMASK(subsection_map_index(next - 1), subsection_map_index(pfn));
		spin_lock_irqsave(&writer, flags);
		section = __nr_to_section(nr);
		left = bits[nr] & ~range;
		if (early_section(section))
			left = section->usage && section->usage->subsection_map[0] & ~range ? bits[nr] : 0;
		set_section(nr, left);
		spin_unlock_irqrestore(&writer, flags);
	}
}

struct pages {
	unsigned long pfn, nr_pages;
};

static int enter_add(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct pages *pages = (struct pages *)probe->data;

	pages->pfn = regs_get_kernel_argument(regs, 1);
	pages->nr_pages = regs_get_kernel_argument(regs, 2);
	return 0;
}

static int enter_remove(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct pages *pages = (struct pages *)probe->data;

	pages->pfn = regs_get_kernel_argument(regs, 0);
	pages->nr_pages = regs_get_kernel_argument(regs, 1);
	hide(pages->pfn, pages->nr_pages);
	return 0;
}

static int leave(struct kretprobe_instance *probe, struct pt_regs *regs)
{
	struct pages *pages = (struct pages *)probe->data;

	follow(pages->pfn, pages->nr_pages);
	return 0;
}

static struct kretprobe add_probe = {
	.kp.symbol_name = "__add_pages",
	.entry_handler = enter_add,
	.handler = leave,
	.data_size = sizeof(struct pages),
};
static struct kretprobe remove_probe = {
	.kp.symbol_name = "__remove_pages",
	.entry_handler = enter_remove,
	.handler = leave,
	.data_size = sizeof(struct pages),
};
static struct kretprobe *probes[] = { &add_probe, &remove_probe };

static int on_memory(struct notifier_block *block, unsigned long action, void *data)
{
	struct memory_notify *pages = data;

	if (action == MEM_ONLINE || action == MEM_OFFLINE)
		follow(pages->start_pfn, pages->nr_pages);
	return NOTIFY_OK;
}

static struct notifier_block notifier = { .notifier_call = on_memory };

static int show_compare(struct seq_file *file, void *unused)
{
	unsigned long pfn, different = 0;

	for (pfn = 0; pfn < compare_end; pfn++) {
		different += pfn_valid(pfn) != validmap_valid(pfn);
		if (!(pfn & 0xffff))
			cond_resched();
	}
	seq_printf(file, "%lu %lu\n", compare_end, different);
	return 0;
}

/* Lookups that are counted, as functions of their own. */
static noinline unsigned long nothing(unsigned long pfn)
{
	barrier();
	return pfn;
}

static noinline unsigned long of_kernel(unsigned long pfn)
{
	return pfn_valid(pfn);
}

static noinline unsigned long of_map(unsigned long pfn)
{
	return validmap_valid(pfn);
}

#define LOOKUPS 1000

/* Instructions of so many lookups, the loop included. */
#define COUNT(function)                                                    \
	({                                                                 \
		unsigned long at, sum = 0, flags;                          \
		u64 begin, ticks;                                          \
		local_irq_save(flags);                                     \
		begin = rdtsc();                                           \
		for (at = 0; at < LOOKUPS; at++)                           \
			sum += function(count_from + at);                  \
		ticks = rdtsc() - begin;                                   \
		local_irq_restore(flags);                                  \
		answers = sum;                                             \
		ticks;                                                     \
	})

static int show_count(struct seq_file *file, void *unused)
{
	unsigned long answers, of_both;
	u64 empty, kernel, map;

	empty = COUNT(nothing);
	kernel = COUNT(of_kernel);
	of_both = answers;
	map = COUNT(of_map);
	if (answers != of_both)
		return -EIO;
	/* Per lookup in thousandths, since LOOKUPS is a thousand. */
	seq_printf(file, "%lld %lld %lu\n", (s64)(kernel - empty), (s64)(map - empty), answers);
	return 0;
}

static int open_compare(struct inode *inode, struct file *file)
{
	return single_open(file, show_compare, NULL);
}

static int open_count(struct inode *inode, struct file *file)
{
	return single_open(file, show_count, NULL);
}

static ssize_t write_compare(struct file *file, const char __user *text, size_t size, loff_t *at)
{
	unsigned long end;
	int error = kstrtoul_from_user(text, size, 0, &end);

	if (!error && end > end_pfn)
		error = -EINVAL;
	if (error)
		return error;
	compare_end = end;
	return size;
}

static ssize_t write_count(struct file *file, const char __user *text, size_t size, loff_t *at)
{
	int error = kstrtoul_from_user(text, size, 0, &count_from);

	return error ? error : size;
}

static const struct file_operations compare_operations = {
	.owner = THIS_MODULE,
	.open = open_compare,
	.read = seq_read,
	.write = write_compare,
	.llseek = seq_lseek,
	.release = single_release,
};
static const struct file_operations count_operations = {
	.owner = THIS_MODULE,
	.open = open_count,
	.read = seq_read,
	.write = write_count,
	.llseek = seq_lseek,
	.release = single_release,
};
static struct miscdevice compare_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "validmap",
	.fops = &compare_operations,
	.mode = 0600,
};
static struct miscdevice count_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "validmap_count",
	.fops = &count_operations,
	.mode = 0600,
};

static int __init validmap_init(void)
{
	int error;

	BUILD_BUG_ON(SUBSECTIONS_PER_SECTION != BITS_PER_LONG);
	/* 64 TiB, which no guest exceeds: with five levels of page tables there may be 64 times as many. */
	nr_sections = min(1UL << (MAX_PHYSMEM_BITS - SECTION_SIZE_BITS), 1UL << 19);
	end_pfn = section_nr_to_pfn(nr_sections);
	states = vzalloc(nr_sections);
	bits = vzalloc(nr_sections * sizeof(*bits));
	error = -ENOMEM;
	if (!states || !bits)
		goto free;
	error = register_kretprobes(probes, ARRAY_SIZE(probes));
	if (error)
		goto free;
	error = register_memory_notifier(&notifier);
	if (error)
		goto probes;
	follow(0, end_pfn);
	error = misc_register(&compare_device);
	if (error)
		goto notifier;
	error = misc_register(&count_device);
	if (!error)
		return 0;
	misc_deregister(&compare_device);
notifier:
	unregister_memory_notifier(&notifier);
probes:
	unregister_kretprobes(probes, ARRAY_SIZE(probes));
free:
	vfree(bits);
	vfree(states);
	return error;
}

static void __exit validmap_exit(void)
{
	misc_deregister(&count_device);
	misc_deregister(&compare_device);
	unregister_memory_notifier(&notifier);
	unregister_kretprobes(probes, ARRAY_SIZE(probes));
	vfree(bits);
	vfree(states);
}

module_init(validmap_init);
module_exit(validmap_exit);
MODULE_DESCRIPTION("One byte a section answers pfn_valid");
MODULE_LICENSE("GPL");
