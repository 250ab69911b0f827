/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The feature table; the contract is in features.h. */
#include "server/ext4/features.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base/cleanup.h"
#include "server/ext4/format.h"

enum word { COMPAT, INCOMPAT, RO_COMPAT };

struct feature {
	enum word word;
	uint32_t bit;
	enum f4_feature_verdict verdict;
	const char *name; /* as mke2fs and tune2fs call it */
};

/* Known bits. A reason stands where the verdict is not "written". */
static const struct feature known[] = {
	{ INCOMPAT, F4_INCOMPAT_COMPRESSION, F4_FEATURE_REFUSE, "compression" }, /* no released kernel has it */
	{ INCOMPAT, F4_INCOMPAT_FILETYPE, F4_FEATURE_WRITE, "filetype" },
	{ INCOMPAT, F4_INCOMPAT_RECOVER, F4_FEATURE_WRITE, "needs_recovery" },
	{ INCOMPAT, F4_INCOMPAT_JOURNAL_DEV, F4_FEATURE_REFUSE, "journal_dev" }, /* a journal, not a filesystem */
	{ INCOMPAT, F4_INCOMPAT_META_BG, F4_FEATURE_WRITE, "meta_bg" },
	{ INCOMPAT, F4_INCOMPAT_EXTENTS, F4_FEATURE_WRITE, "extents" },
	{ INCOMPAT, F4_INCOMPAT_64BIT, F4_FEATURE_WRITE, "64bit" },
	{ INCOMPAT, F4_INCOMPAT_MMP, F4_FEATURE_WRITE, "mmp" },
	{ INCOMPAT, F4_INCOMPAT_FLEX_BG, F4_FEATURE_WRITE, "flex_bg" },
	{ INCOMPAT, F4_INCOMPAT_EA_INODE, F4_FEATURE_WRITE, "ea_inode" },
	{ INCOMPAT, F4_INCOMPAT_DIRDATA, F4_FEATURE_REFUSE, "dirdata" }, /* entries have more than a name */
	{ INCOMPAT, F4_INCOMPAT_CSUM_SEED, F4_FEATURE_WRITE, "metadata_csum_seed" },
	{ INCOMPAT, F4_INCOMPAT_LARGEDIR, F4_FEATURE_WRITE, "large_dir" },
	{ INCOMPAT, F4_INCOMPAT_INLINE_DATA, F4_FEATURE_WRITE, "inline_data" },
	{ INCOMPAT, F4_INCOMPAT_ENCRYPT, F4_FEATURE_WRITE, "encrypt" },  /* no keys: what is encrypted only goes */
	{ INCOMPAT, F4_INCOMPAT_CASEFOLD, F4_FEATURE_WRITE, "casefold" },
	{ RO_COMPAT, F4_RO_COMPAT_SPARSE_SUPER, F4_FEATURE_WRITE, "sparse_super" },
	{ RO_COMPAT, F4_RO_COMPAT_LARGE_FILE, F4_FEATURE_WRITE, "large_file" },
	{ RO_COMPAT, F4_RO_COMPAT_BTREE_DIR, F4_FEATURE_WRITE, "btree_dir" }, /* never used by anybody */
	{ RO_COMPAT, F4_RO_COMPAT_HUGE_FILE, F4_FEATURE_WRITE, "huge_file" },
	{ RO_COMPAT, F4_RO_COMPAT_GDT_CSUM, F4_FEATURE_WRITE, "uninit_bg" },
	{ RO_COMPAT, F4_RO_COMPAT_DIR_NLINK, F4_FEATURE_WRITE, "dir_nlink" },
	{ RO_COMPAT, F4_RO_COMPAT_EXTRA_ISIZE, F4_FEATURE_WRITE, "extra_isize" },
	{ RO_COMPAT, F4_RO_COMPAT_HAS_SNAPSHOT, F4_FEATURE_READ, "snapshot" }, /* copies on write that we don't make */
	{ RO_COMPAT, F4_RO_COMPAT_QUOTA, F4_FEATURE_WRITE, "quota" },
	{ RO_COMPAT, F4_RO_COMPAT_BIGALLOC, F4_FEATURE_WRITE, "bigalloc" },
	{ RO_COMPAT, F4_RO_COMPAT_METADATA_CSUM, F4_FEATURE_WRITE, "metadata_csum" },
	{ RO_COMPAT, F4_RO_COMPAT_REPLICA, F4_FEATURE_READ, "replica" },    /* the copies would differ */
	{ RO_COMPAT, F4_RO_COMPAT_READONLY, F4_FEATURE_READ, "read-only" }, /* says so itself */
	{ RO_COMPAT, F4_RO_COMPAT_PROJECT, F4_FEATURE_WRITE, "project" },
	{ RO_COMPAT, F4_RO_COMPAT_SHARED_BLOCKS, F4_FEATURE_READ, "shared_blocks" }, /* freeing one frees all */
	{ RO_COMPAT, F4_RO_COMPAT_VERITY, F4_FEATURE_WRITE, "verity" }, /* its files never change, and aren't verified */
	{ RO_COMPAT, F4_RO_COMPAT_ORPHAN_PRESENT, F4_FEATURE_WRITE, "orphan_present" },
};

/* What an unknown bit of each word means. */
static const enum f4_feature_verdict unknown[] = {
	[COMPAT] = F4_FEATURE_WRITE,
	[INCOMPAT] = F4_FEATURE_REFUSE,
	[RO_COMPAT] = F4_FEATURE_READ,
};
static const char *const word_name[] = {
	[COMPAT] = "compat",
	[INCOMPAT] = "incompat",
	[RO_COMPAT] = "ro_compat",
};

static const struct feature *feature_find(enum word word, uint32_t bit)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(known); i++)
		if (known[i].word == word && known[i].bit == bit)
			return &known[i];
	return NULL;
}

static void names_add(char *names, size_t size, enum word word, uint32_t bit,
		      const struct feature *f)
{
	size_t used = strlen(names);
	const char *sep = used ? ", " : "";

	if (f)
		(void)snprintf(names + used, size - used, "%s%s", sep, f->name); /* cut: documented */
	else
		(void)snprintf(names + used, size - used, "%sunknown %s bit 0x%x", sep,
			       word_name[word], bit);
}

enum f4_feature_verdict f4_features_check(uint32_t compat, uint32_t incompat, uint32_t ro_compat,
					  char *names, size_t size)
{
	const uint32_t words[] = { [COMPAT] = compat, [INCOMPAT] = incompat, [RO_COMPAT] = ro_compat };
	enum f4_feature_verdict worst = F4_FEATURE_WRITE;

	names[0] = '\0';
	for (int w = COMPAT; w <= RO_COMPAT; w++) {
		for (uint32_t bit = 1; bit; bit <<= 1) {
			const struct feature *f;
			enum f4_feature_verdict v;

			if (!(words[w] & bit))
				continue;
			f = feature_find((enum word)w, bit);
			v = f ? f->verdict : unknown[w];
			if (v == F4_FEATURE_WRITE || v < worst)
				continue;
			if (v > worst)
				names[0] = '\0'; /* only what made the verdict is named */
			worst = v;
			names_add(names, size, (enum word)w, bit, f);
		}
	}
	return worst;
}
