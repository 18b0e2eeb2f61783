#include <stddef.h>

struct page {
	unsigned long flags, rest[7];
};
