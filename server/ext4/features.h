/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each feature bit of a superblock means for a mount: served, read-only, or refused.
 *
 * Pure: three words in, one verdict and the names for one line of text out.
 */
#ifndef F4_EXT4_FEATURES_H
#define F4_EXT4_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum f4_feature_verdict {
	F4_FEATURE_WRITE,  /* everything here can be written */
	F4_FEATURE_READ,   /* may be read, never written */
	F4_FEATURE_REFUSE, /* can't be understood */
	F4_FEATURE_VERDICT_MAX
};

/*
 * f4_features_check - the verdict on a whole set of feature words, the worst of its members.
 * @names: receives the features that made it so, separated by ", " (unknown bits by number); cut
 *         to @size with a NUL; empty for F4_FEATURE_WRITE
 * Unknown incompat bits refuse, unknown ro_compat bits are read-only, unknown compat bits nothing.
 * Source: kernel Documentation/filesystems/ext4/super.rst for the rule and the bits.
 */
enum f4_feature_verdict f4_features_check(uint32_t compat, uint32_t incompat, uint32_t ro_compat,
					  char *names, size_t size);

#endif
