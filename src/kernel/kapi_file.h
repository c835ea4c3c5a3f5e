/* SPDX-License-Identifier: GPL-2.0 */
/* Of the line between C and C++ (kernel/kapi.h): inodes, files and I/O. */
#ifndef COWMEM_KAPI_FILE_H
#define COWMEM_KAPI_FILE_H

#include "kernel/kapi_types.h"

KAPI_BEGIN

/* --- the object's inode --- */
/* @made: a regular file's, where @like is, or, if that is null, where what has no name is. 0, -ENOMEM, -ENOSPC. */
int kapi_inode_create(const struct inode *like, struct inode **made);
/* What limits the pages of a mounted file system's files, or null. */
struct cowmem_space *kapi_inode_space(const struct inode *inode);
unsigned int kapi_space_huge(const struct cowmem_space *space); /* enum cowmem_huge of new files */
bool kapi_space_pinnable(const struct cowmem_space *space); /* whether its files are from now on */
void kapi_space_get(struct cowmem_space *space);
void kapi_space_put(struct cowmem_space *space);
/* The same for @pages of them, or none. */
bool kapi_space_take_pages(struct cowmem_space *space, unsigned long pages);
void kapi_space_give_page(struct cowmem_space *space);
void kapi_inode_get(struct inode *inode);
void kapi_inode_set_snapshot(struct inode *inode);
void kapi_inode_set_object(struct inode *inode, void *object);
void kapi_inode_put(struct inode *inode);
bool kapi_inode_is_only(const struct inode *inode); /* the caller has its only reference */
bool kapi_inode_try_get(struct inode *inode);       /* false: it is on its way out */
/* The file system of @inode, which does not go then, or null: it is just going. */
struct super_block *kapi_inode_super_try_get(const struct inode *inode);
void kapi_super_put(struct super_block *super); /* sleeps */
/* Whether any page, which is locked, is one of the module's. */
bool kapi_folio_is_ours(const struct folio *folio);
void *kapi_inode_object(const struct inode *inode);
struct address_space *kapi_inode_mapping(struct inode *inode);
unsigned long kapi_inode_number(const struct inode *inode);
long long kapi_inode_size(const struct inode *inode);
void kapi_inode_set_size(struct inode *inode, long long bytes);
bool kapi_inode_trylock(struct inode *inode);
int kapi_inode_lock_killable(struct inode *inode); /* -EINTR: a fatal signal */
void kapi_inode_unlock(struct inode *inode);
void kapi_inode_lock_size(struct inode *inode);
void kapi_inode_unlock_size(struct inode *inode);
long long kapi_max_bytes(void);

/* --- files and I/O --- */
void kapi_file_get(struct file *file);
void kapi_file_put(struct file *file);
void *kapi_file_private(const struct file *file);
bool kapi_file_readable(const struct file *file);
bool kapi_file_writable(const struct file *file);
void kapi_file_bind(struct file *file, struct inode *inode, void *object);
/* @made: a new file of @inode, of which it takes the reference, on the mount of the asker's @by; for reading at least. 0, -ENOMEM, -ENFILE. */
int kapi_file_create(struct inode *inode, const struct file *by, const char *name, bool writable,
                     struct file **made);
struct file *kapi_file_of_fd(int fd); /* with a reference; null: it is not open */
/* Something happened to a snapshot, or to its relatives, and is there to be seen. */
void kapi_wake_pollers(void);
bool kapi_file_is_ours(const struct file *file);
int kapi_fd_reserve(void); /* a number for a file, closed on exec; or -errno */
void kapi_fd_install(int fd, struct file *file);
void kapi_fd_cancel(int fd);
long long kapi_file_seek(struct file *file, long long offset, int whence, long long max,
                         long long eof);
long long kapi_file_set_position(struct file *file, long long position, long long max);
struct file *kapi_iocb_file(const struct kiocb *iocb);
long long kapi_iocb_position(const struct kiocb *iocb);
void kapi_iocb_set_position(struct kiocb *iocb, long long position);
/* A regular file is about to be written, with the inode's lock held, or was read: times, and privileges. */
int kapi_file_modified(struct file *file);
void kapi_file_accessed(struct file *file);
/* Whether the file may grow to @bytes: 0, -EFBIG, with a signal. */
int kapi_file_may_reach(const struct file *file, long long bytes);
long kapi_iocb_write_checks(struct kiocb *iocb, struct iov_iter *from);
size_t kapi_iter_count(const struct iov_iter *iter);
bool kapi_iter_fault_in(const struct iov_iter *from, size_t n);
/* The last @n bytes come again. */
void kapi_iter_revert(struct iov_iter *iter, size_t n);
size_t kapi_iter_zero(struct iov_iter *to, size_t n);
int kapi_user_size(unsigned long arg, unsigned int *size);
int kapi_user_get(void *to, size_t known, unsigned long arg, size_t size);
/* The length of a string at @arg, of which @room bytes are had at most; @room: it is longer. Or -EFAULT. */
long kapi_user_get_string(char *to, size_t room, unsigned long arg);
int kapi_user_put(unsigned long arg, const void *from, size_t n);

KAPI_END

#endif /* COWMEM_KAPI_FILE_H */
