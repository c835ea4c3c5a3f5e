/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs of the fuzzer's that each run shows again: those that found something, those that show all
 * there is, and those that were the first to run some of the module's code.
 */
#ifndef COWMEM_FUZZ_CORPUS_H
#define COWMEM_FUZZ_CORPUS_H

/* clang-format off: a program's text is wrapped between calls */
static const char *const corpus_texts[] = {
	/* The checker went over every page before the last that an object can have. */
	"0 create 0 0 0; 0 open 0; 0 create 1 0 0; 0 pwrite 1 9223372036854767616 4096 8; "
	"0 mmap 1 0 2251799813685246 1 0; 0 store 0 0 1 8; 0 load 0 0 1",
	/* A snapshot keeps its bytes, whichever way those of its object change. */
	"0 open 0; 0 pwrite 0 0 32768 6; 0 mmap 0 0 0 8 0; 0 store 0 0 8 2; "
	"0 snapshot 0 1 1 0 0; 0 store 0 0 8 4; 0 punch 0 2 1 1; 0 snapshot 0 2 1 0 0; "
	"0 restore 0 1 0 0 1; 0 store 0 0 4 6",
	/* Snapshots with limits, one of which is dropped; the last to see a page keeps it. */
	"0 open 0; 0 mmap 0 0 0 16 0; 0 store 0 0 16 10; 0 snapshot 0 1 1 0 0; "
	"0 snapshot 0 2 1 3 2; 0 snapshot 0 3 0 4 1; 0 store 0 0 1 12; 0 store 0 1 1 12; "
	"0 store 0 2 1 12; 0 stat 3 1; 0 pread 3 0 4096; 0 close 1; 0 store 0 4 8 3; 0 close 2",
	/* Clones of clones, taken back sideways, and compared. */
	"0 open 0; 0 pwrite 0 0 65536 2; 0 clone 0 1 0 0 1; 0 clone 1 2 0 2 0; "
	"0 pwrite 1 4096 8192 4; 0 snapshot 1 3 1 0 0; 0 restore 0 3 0 0 1; "
	"0 restore 1 3 2 4 1; 0 diff 0 1 0 16 1; 0 diff 1 3 0 16 0; 0 mmap 1 0 0 16 0; "
	"0 store 0 0 16 3; 0 diff 1 0 0 16 1",
	/* Out to the store and back, of an object, and of what it shares with a snapshot. */
	"0 open 0; 0 pwrite 0 0 65536 2; 0 mmap 0 0 0 16 0; 0 mmap 0 1 0 16 1; "
	"0 store 1 0 4 8; 0 page_out 0 0 16 1 0; 0 page_out 0 0 16 1 0; 0 store_stat 0; "
	"0 prefetch 0 0 4 8; 0 load 0 0 16; 0 store 0 2 4 6; 0 snapshot 0 1 1 0 0; "
	"0 page_out 0 0 16 1 1; 0 page_out 1 0 16 1 1; 0 store 0 0 16 4; 0 store_limit 0 3; "
	"0 page_out 0 0 16 1 0; 0 reclaim 2",
	/* Processes with private copies of each other's, and who maps what. */
	"0 create 0 0 1; 0 pwrite 0 0 32768 7; 0 mmap 0 0 0 8 0; 0 mmap 0 1 0 8 1; "
	"0 store 0 0 8 3; 0 store 1 0 8 5; 0 fork 1; 1 store 1 0 4 7; 1 store 0 2 2 9; "
	"0 rmap 0 0 8 1; 0 copies 1 0 8; 1 copies 1 0 8; 0 fork 2; 2 munmap 0 2 2; "
	"2 mprotect 1 0 4 2; 1 remote 1 0 0 1; 0 kill 2; 1 exit 0; 0 pagemap 0 0 8 3; "
	"0 store 0 0 8 2; 0 pagemap 0 0 8 0",
	/* Files with names, and what they share by FICLONE. */
	"0 creat 0 0 0; 0 pwrite 0 0 32768 2; 0 creat 1 1 0; 0 ficlone 1 0; "
	"0 pwrite 1 8192 4096 4; 0 ficlonerange 0 1 2 1 0; 0 dedupe 0 1 0 8; "
	"0 snapshot 0 2 1 0 0; 0 link 2 3; 0 rename 3 2; 0 unlink 2; "
	"0 copy_range 0 1 0 4096 8192; 0 splice 1 0 4096 100 5000; 0 sendfile 1 0 0 4096; "
	"0 reopen 5 2 1; 0 tmpfile 6; 0 link 6 3; 0 fstat 0 1; 0 fstat 0 0; 0 fdinfo 0",
	/* Sizes and holes of any bytes. */
	"0 open 0; 0 file 1 0; 0 ftruncate 1 30000; 0 pwrite 1 0 28000 2; "
	"0 fallocate 1 0 0 40000; 0 fallocate 1 2 4000 9000; 0 fallocate 1 3 100 20000; "
	"0 lseek 1 0 3; 0 lseek 1 0 4; 0 resize 0 9000 0; 0 mmap 0 0 0 8 0; 0 load 0 0 1; "
	"0 load 0 5 1; 0 append 1 5000 3; 0 resize 0 4294967295 1; 0 fadvise 1 0 32768 4; "
	"0 fadvise 1 0 32768 3; 0 fsync 1; 0 madvise 0 0 2 4",
	/* Snapshots of two objects of one instant, handed on to another process. */
	"0 open 0; 0 create 1 0 2; 0 pwrite 0 0 32768 2; 0 pwrite 1 0 32768 4; "
	"0 mmap 0 0 0 8 0; 0 mmap 1 1 0 8 0; 0 store 0 0 8 6; 0 store 1 0 8 8; "
	"0 snapshot_set 0 1 4 5 1; 0 store 0 0 8 2; 0 store 1 0 8 2; 0 snapshot_set 4 5 6 7 1; "
	"0 send 4 1; 0 fork 1; 1 receive 8; 1 pread 8 0 32768; 1 clone 8 9 0 0 1; "
	"1 pwrite 9 0 4096 8",
	/* Pages that are held, and pages whose writes are kept track of. */
	"0 open 0; 0 mmap 0 0 0 16 0; 0 store 0 0 16 2; 0 hold 0 1; 0 hold 0 3; "
	"0 snapshot 0 1 1 0 0; 0 store 0 0 16 4; 0 punch 0 1 2 1; 0 let_go 0; "
	"0 write_protect 0 0 16 0; 0 store 0 4 2 6; 0 scan 0 0 16 1; 0 page_out 0 0 16 1 0; "
	"0 store 0 4 2 8; 0 scan 0 0 16 0; 0 write_protect 0 0 16 2; 0 clear_refs 1; "
	"0 store 0 0 4 8; 0 page_out 0 0 16 1 0",
	/* What else there is to do to a mapping, and to the node that pages are on. */
	"0 open 0; 0 pwrite 0 0 65536 2; 0 mmap 0 0 0 16 8; 0 mmap 0 1 4 8 25; "
	"0 mlock 0 2 4 0; 0 page_out 0 0 16 1 0; 0 mlock 0 0 0 2; 0 madvise 1 0 4 3; "
	"0 madvise 0 0 16 0; 0 madvise 0 0 16 11; 0 madvise 1 0 8 12; 0 mremap 0 2 0; "
	"0 mremap 2 2 32; 0 store 2 0 16 4; 0 msync 2 0 8 1; 0 msync 2 0 8 2; 0 move 0 0 16 1; "
	"0 load 2 0 16; 0 move 0 0 16 0; 0 set_cow 0 1; 0 mmap 0 3 0 8 1; 0 store 3 0 8 4",
	/* Three processes and two threads at one object. */
	"together; 0 open 0; 0 mmap 0 0 0 16 0; 0 store 0 0 16 2; 0 fork 1; 0 fork 2; "
	"0 thread 0 1; 1 thread 0 2; 2 store 0 0 16 4; 0 snapshot 0 1 1 0 0; 1 punch 0 2 4 1; "
	"2 page_out 0 0 16 1 0; 0 snapshot 0 2 1 0 0; 1 snapshot 0 3 1 0 0; 2 store 0 0 16 8; "
	"0 restore 0 1 0 0 1; 1 page_out 0 0 16 1 0; 2 clone 0 4 0 0 0; 0 close 1; "
	"1 store 0 0 16 3; 2 mremap 0 1 0; 1 reclaim 1",
	/* Allocations that fail. */
	"0 open 0; 0 mmap 0 0 0 8 0 !2; 0 store 0 0 8 2 !1; 0 store 0 0 8 2; "
	"0 snapshot 0 1 1 0 0 !3; 0 snapshot 0 1 1 0 0; 0 store 0 0 1 4 !1; "
	"0 store 0 1 1 4 !2; 0 punch 0 2 2 1 !1; 0 page_out 0 0 8 1 0 !1; "
	"0 page_out 0 0 8 1 0; 0 load 0 4 2 !1; 0 clone 1 2 0 0 1 !4; 0 clone 1 2 0 0 1; "
	"0 pwrite 2 0 8192 4 !1; 0 restore 0 1 0 0 1 !1; 0 fork 1 !9; 0 ficlone 2 1 !2; "
	"0 diff 0 1 0 8 1 !1",
	/* The paths with locks, and the core's copies. */
	"0 parameter 0 0; 0 parameter 1 0; 0 parameter 2 0; 0 parameter 4 0; 0 parameter 5 0; "
	"0 open 0; 0 pwrite 0 0 65536 2; 0 mmap 0 0 0 16 0; 0 mmap 0 1 0 16 1; 0 load 0 0 16; "
	"0 store 0 0 16 4; 0 load 1 0 8; 0 store 1 0 16 4; 0 snapshot 0 1 1 0 0; "
	"0 store 0 0 16 6; 0 parameter 6 0; 0 open 2; 0 pwrite 2 0 8192 2; 0 mmap 2 2 0 4 1; "
	"0 store 2 0 4 2",
	/* Pages that user space makes, a page that is damaged, and odd calls. */
	"0 creat 0 2 0; 0 user_fill 0 0 0; 0 ftruncate 0 32768; 0 mmap 0 0 0 8 0; "
	"0 user_fill 0 1 0; 0 user_fill 0 2 1; 0 user_fill 0 1 2; 0 store 0 1 1 2; "
	"0 transfer 0 0 0 4 1; 0 transfer 0 0 2 6 0; 0 poison 0 3; 0 load 0 3 1; "
	"0 pread 0 12288 4096; 0 pagemap 0 0 8 0; 0 punch 0 3 1 0; 0 load 0 3 1; 0 info 0; "
	"0 odd 0 11 24 0 1; 0 odd 0 13 32 4294967296 1; 0 odd 0 5 4096 7 0",
	/* The sum of an object's slots was wrong, where two page-outs and snapshots met. */
	"together; 0 open 0; 0 mmap 7 0 0 16 0; 0 store 0 0 16 2; 0 fork 1; 0 fork 2; "
	"2 store 0 0 16 4; 0 snapshot 0 1 1 0 0; 1 punch 0 2 4 1; 2 page_out 0 0 16 1 0; "
	"1 mprotect 0 3 4 1; 0 punch 0 2 1 1; 0 snapshot 0 2 1 0 0; 0 restore 0 1 0 0 1; "
	"0 load 1 513 9; 0 remote 32 4 1 1; 1 reclaim 0; 0 mmap 3 4 0 11 25; "
	"0 clone 7 4 5 0 1; 0 pagemap 5 1 11 3; 0 pread 0 0 10240",
	/* The first to run some of the module's code. */
	"together; 0 open 0; 0 mmap 7 0 0 16 0; 0 store 0 0 16 2; 0 fork 1; 0 fork 2; "
	"0 thread 0 1; 1 thread 0 2; 2 store 0 0 16 4; 0 snapshot 0 1 1 0 0; 1 punch 0 2 4 1; "
	"2 page_out 0 0 16 1 0; 0 snapshot 0 2 1 0 0; 1 snapshot 0 3 1 0 0; "
	"3 store 0 13 1 128; 1 mprotect 0 3 4 1; 0 punch 0 2 1 1; 0 snapshot 0 2 1 0 0; "
	"0 restore 0 1 0 0 1; 0 load 1 513 9; 0 remote 32 4 1 1; 1 reclaim 0; "
	"0 mmap 3 4 0 11 25; 0 clone 7 4 5 0 1; 0 pagemap 5 1 11 3; 0 pread 0 0 10240",
	"0 tmpfile 9; 0 pwrite 0 8192 40960 191; 0 mmap 6 1 0 6 9; 0 store 2 6 9 254; "
	"2 mremap 4 1 4; 0 prefetch 0 4 3 0; 3 mmap 0 4 4 4 25; 3 store 0 13 1 128; "
	"1 mprotect 0 3 4 1; 1 append 7 8192 168; 2 diff 3 8 3 4 0; 0 fork 3; 0 load 1 513 9; "
	"0 remote 32 4 1 1; 1 reclaim 0; 0 mmap 3 4 0 11 25; 0 clone 7 4 5 0 1; "
	"0 pagemap 5 1 11 3; 0 pread 0 0 10240; 0 clone 1 3 7 2 1; 0 mlock 32 5 3 1",
	"0 open 5; 0 fallocate 7 3 16384 16384; 0 pwrite 5 12288 126975 120; "
	"0 mmap 4 3 8 1 11; 0 clone 5 0 2 1 0; 0 store 1 4503599627370495 2 224; "
	"0 pwrite 5 12288 126975 120; 0 snapshot 4 4 1 2 4; 0 copies 0 0 3 !16; "
	"1 pagemap 8 5 9 3; 0 reclaim 2; 0 fadvise 5 36864 2048 4",
	"together; 0 open 9; 0 pwrite 9 131072 36864 127; 0 mmap 0 3 3 9 5; 0 store 2 2 10 39; "
	"0 reclaim 2; 0 snapshot_set 8 3 9 4 1; 0 dup 6 6; 3 open 1; 0 snapshot_set 4 3 0 0 1; "
	"0 diff 5 5 4 4 0; 0 diff 2 8 4503599627370495 2 1; 0 fadvise 2 16384 1 4; "
	"1 clone 6 7 9 0 1; 0 load 4 1 3; 0 mmap 7 0 2251799813685247 3 8",
	"0 open 5; 0 pwrite 5 12288 126975 120; 0 mmap 4 3 8 1 11; "
	"0 store 1 4503599627370495 2 224; 0 snapshot 4 4 1 2 4; 0 copies 0 0 3; "
	"1 pagemap 8 5 9 3; 0 reclaim 2; 0 fadvise 1 36864 2048 4",
	"0 parameter 0 0; 0 parameter 1 0; 0 parameter 2 0; 0 parameter 4 0; 0 parameter 5 0; "
	"0 open 0; 0 pwrite 0 0 65536 2; 0 mmap 0 0 0 16 0; 0 mmap 0 1 3 16 1; 0 load 0 0 16; "
	"0 store 0 0 16 4; 0 pread 1 20480 131072 !1; 0 load 1 0 8; 0 store 1 0 16 4; "
	"0 snapshot 0 1 1 0 0; 0 store 0 0 16 6; 1 parameter 6 0; 0 sendfile 2 34 57344 16384; "
	"0 open 2; 0 pwrite 2 0 8192 2; 0 mmap 2 2 0 4 1; 0 store 2 0 4 2",
	"0 creat 4 1 1; 0 pwrite 0 16384 8192 91; 0 mmap 8 36 3 2 16; 0 store 1 5 9 79; "
	"0 store 1 2 1 59; 0 store 1 13 11 47; 3 load 0 11 1; 0 pagemap 4 4 1 2; "
	"0 ftruncate 3 16384; 2 reclaim 0; 0 clone 7 8 2 2 1; 0 mprotect 3 5 2 2; "
	"2 punch 3 6 4 0 !1; 0 close 7; 0 hold 1 10; 0 punch 9 4 3 0; 0 send 6 3; "
	"2 mremap 1 3 5; 0 madvise 3 2 1 13; 0 ftruncate 4 2101248; 2 mprotect 2 2 2 2; "
	"0 load 1 2251799813685247 10; 1 tmpfile 0; 0 fdinfo 8",
	"0 open 3; 3 remote 4 2251799813685248 2 0; 0 pwrite 6 4096 8193 83; "
	"0 mmap 2 1 0 9 17; 0 store 4 9 3 166; 0 fork 3; 0 store 2 8 4 95; "
	"0 transfer 2 0 5 0 1; 2 page_out 6 0 3 1 1; 0 restore 0 1 0 0 1 !1; "
	"0 rmap 4 3 4 0 !2; 3 ficlone 3 39; 0 store 1 5 9 19 !14",
	"0 tmpfile 9; 0 pwrite 0 8192 40960 191; 0 mmap 6 1 0 6 9; 0 store 2 6 9 254; "
	"2 store 1 2 8 150; 2 mremap 4 1 4; 0 prefetch 0 4 3 0; 3 mmap 0 4 4 4 25; "
	"3 store 4 13 1 128; 1 mprotect 0 3 4 1; 1 append 7 8192 168; 2 diff 3 8 3 4 0; "
	"0 store 0 0 8 2 !1; 0 store 0 0 8 2; 0 snapshot 0 1 1 0 0 !3; 0 snapshot 0 1 1 0 0; "
	"0 store 0 0 1 4 !1; 0 store 0 1 1 4 !2; 0 punch 0 2 2 1 !1; 0 page_out 0 0 8 1 0 !1; "
	"0 page_out 0 0 8 1 0; 0 load 0 4 2 !1; 0 clone 1 2 0 0 1 !4; 0 clone 1 2 0 0 1; "
	"0 pwrite 2 0 8192 4 !1; 0 restore 0 1 0 0 1 !1; 0 fork 1 !9",
};
/* clang-format on */

#endif /* COWMEM_FUZZ_CORPUS_H */
