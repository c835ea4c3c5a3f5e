/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A key-value store in memory that it is given: a hash table of accounts, probed from slot
 * to slot. Money goes from one account to another and is never made, and each account has a
 * checksum, so that an image of the memory can be told from one of half a transfer.
 */
#ifndef COWMEM_ACCOUNTS_H
#define COWMEM_ACCOUNTS_H

#include <stddef.h>
#include <stdint.h>

#define ACCOUNT_WORDS 12
#define FIRST_BALANCE 1000

struct account {
	uint64_t key; /* 0: a free slot */
	uint64_t balance;
	uint64_t version;              /* changes until now */
	uint64_t value[ACCOUNT_WORDS]; /* all new with each change */
	uint64_t checksum;
};

struct accounts {
	struct account *slots;
	unsigned int bits; /* 1 << bits slots */
	uint64_t count;    /* their keys are 1 to count */
};

/* What an image has in it. */
struct audit {
	uint64_t accounts, damaged, money, changes;
};

static inline uint64_t account_hash(uint64_t word)
{
	return word * 0x9e3779b97f4a7c15;
}

static inline uint64_t account_checksum(const struct account *a)
{
	const uint64_t *words = (const uint64_t *)a;
	uint64_t sum = 0;

	for (size_t i = 0; i < offsetof(struct account, checksum) / sizeof(*words); i++)
		sum = account_hash(sum ^ words[i]);
	return sum;
}

static inline void account_write(struct account *a, uint64_t balance, uint64_t version)
{
	a->balance = balance;
	a->version = version;
	for (unsigned int i = 0; i < ACCOUNT_WORDS; i++)
		a->value[i] = a->key ^ account_hash(version + i);
	a->checksum = account_checksum(a);
}

/* The slot that has @key, or the free one where it belongs. */
static inline struct account *accounts_find(const struct accounts *of, uint64_t key)
{
	const uint64_t mask = (1UL << of->bits) - 1;
	uint64_t at = account_hash(key) >> (64 - of->bits);

	while (of->slots[at].key && of->slots[at].key != key)
		at = (at + 1) & mask;
	return &of->slots[at];
}

static inline void accounts_fill(const struct accounts *of)
{
	for (uint64_t key = 1; key <= of->count; key++) {
		struct account *a = accounts_find(of, key);

		a->key = key;
		account_write(a, FIRST_BALANCE, 0);
	}
}

/* Half a transfer. */
static inline void accounts_add(const struct accounts *of, uint64_t key, int64_t amount)
{
	struct account *a = accounts_find(of, key);

	account_write(a, a->balance + (uint64_t)amount, a->version + 1);
}

static inline struct audit accounts_audit(const struct accounts *of)
{
	struct audit sum = {0};

	for (const struct account *a = of->slots; a < of->slots + (1UL << of->bits); a++) {
		if (!a->key)
			continue;
		sum.accounts++;
		sum.damaged += a->checksum != account_checksum(a);
		sum.money += a->balance;
		sum.changes += a->version;
	}
	return sum;
}

#endif /* COWMEM_ACCOUNTS_H */
