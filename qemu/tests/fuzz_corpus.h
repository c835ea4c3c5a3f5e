/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs of the fuzzer's that each run shows again: those that found something, and those that
 * were the first to run some of the module's code.
 */
#ifndef COWMEM_FUZZ_CORPUS_H
#define COWMEM_FUZZ_CORPUS_H

static const char *const corpus_texts[] = {
	/* The checker went over every page before the last that an object can have. */
	"0 create 0 0 0; 0 open 0; 0 create 1 0 0; 0 pwrite 1 9223372036854767616 4096 8; "
	"0 mmap 1 0 2251799813685246 1 0; 0 store 0 0 1 8; 0 load 0 0 1",
	/* A snapshot keeps its bytes, whichever way those of its object change. */
	"0 open 0; 0 pwrite 0 0 32768 6; 0 mmap 0 0 0 8 0; 0 store 0 0 8 2; 0 snapshot 0 1 1 0 0; "
	"0 store 0 0 8 4; 0 punch 0 2 1 1; 0 snapshot 0 2 1 0 0; 0 restore 0 1 0 0 1; 0 store 0 0 "
        "4 6",
};

#endif /* COWMEM_FUZZ_CORPUS_H */
