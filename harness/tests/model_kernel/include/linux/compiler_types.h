#define noinline __attribute__((noinline))
#define __aligned(bytes) __attribute__((aligned(bytes)))
