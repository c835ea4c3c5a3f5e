/* SPDX-License-Identifier: GPL-2.0 */
/* A walk along all objects. */
#ifndef COWMEM_OBJECTS_H
#define COWMEM_OBJECTS_H

#include "layers/object.h"

namespace cowmem {

/*
 * All objects, one after the other, each kept while it is looked at, with what its inode is on. One
 * that is made meanwhile comes last. A fatal signal may end it before. Sleeps.
 */
class Objects {
public:
	Objects() { next(); }
	~Objects() { let_go(); }
	Objects(const Objects &) = delete;
	Objects &operator=(const Objects &) = delete;

	/* Whether there is one. */
	explicit operator bool() const { return at_; }
	Object &operator*() const { return *at_; }
	void next();
	/* Whether nobody else has it any more: it goes as soon as the walk is past it. A hint. */
	bool is_abandoned() const { return kapi_inode_is_only(at_->inode_); }

private:
	void let_go();

	Object *at_ = nullptr;
	super_block *super_ = nullptr;
};

} /* namespace cowmem */

#endif /* COWMEM_OBJECTS_H */
