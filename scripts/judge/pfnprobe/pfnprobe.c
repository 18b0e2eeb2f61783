// SPDX-License-Identifier: GPL-2.0-only
/*
 * The running kernel's own answers: /dev/pfnprobe lists runs of page frames with the same answers.
 *
 * A line has the first page frame of a run, the number behind its last, and a number: 1 if pfn_valid,
 * plus 2 if pfn_to_online_page finds its record, plus 4 times the zone of the record that it finds.
 * Page frames that are not valid have no line. Writing a number sets where the list ends.
 */
#include <linux/memory_hotplug.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

static unsigned long end = 0x180000;

static unsigned int answers(unsigned long pfn)
{
	struct page *page;

	if (!pfn_valid(pfn))
		return 0;
	page = pfn_to_online_page(pfn);
	return page ? 3 + 4 * page_zonenum(page) : 1;
}

static int show(struct seq_file *file, void *unused)
{
	unsigned long pfn = 0, first = 0;
	unsigned int now = 0, next;

	for (;; pfn++) {
		next = pfn < end ? answers(pfn) : 0;
		if (next != now) {
			if (now)
				seq_printf(file, "%lx %lx %u\n", first, pfn, now);
			first = pfn;
			now = next;
		}
		if (pfn >= end)
			return 0;
		if (!(pfn & 0xfff))
			cond_resched();
	}
}

static int open(struct inode *inode, struct file *file)
{
	return single_open(file, show, NULL);
}

static ssize_t write(struct file *file, const char __user *text, size_t size, loff_t *at)
{
	int error = kstrtoul_from_user(text, size, 0, &end);

	return error ? error : size;
}

static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.open = open,
	.read = seq_read,
	.write = write,
	.llseek = seq_lseek,
	.release = single_release,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "pfnprobe",
	.fops = &operations,
	.mode = 0600,
};

module_misc_device(device);
MODULE_DESCRIPTION("Answers of pfn_valid and pfn_to_online_page");
MODULE_LICENSE("GPL");
