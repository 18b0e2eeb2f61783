struct alt_instr {
	int instr_offset, repl_offset;
	unsigned short cpuid;
	unsigned char instrlen, replacementlen;
} __attribute__((packed));
