/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/lab.h"

static void bad(struct verdict *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void bad(struct verdict *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v->what, sizeof(v->what), fmt, ap);
	va_end(ap);
}

struct judging {
	struct lab *l;
	struct f4_volume *vol;
	struct tree tree;
	uint32_t floor, done, begun;
	struct verdict *v;
	bool verbose;
};

/* Is the tree that after request @k, or one with request @k + 1 half done? *ret_soft: whose inode. */
static bool tree_is(const struct judging *g, uint32_t k, uint32_t *ret_soft)
{
	const struct lab *l = g->l;
	uint32_t soft = k < g->begun && k < l->n_ops ? l->soft_ino[k + 1] : 0;

	*ret_soft = 0;
	if (l->trees[k].digest == g->tree.digest)
		return true;
	if (soft == 0)
		return false;
	*ret_soft = soft;
	return tree_masked(&l->trees[k], soft) == tree_masked(&g->tree, soft) ||
	       tree_masked(&l->trees[k + 1], soft) == tree_masked(&g->tree, soft);
}

/* Every file's content as of request @k. */
static bool content_is(struct judging *g, uint32_t k, uint32_t soft)
{
	bool strict = g->l->shape->data_journal;

	for (size_t i = 0; i < g->tree.n; i++) {
		const struct rec *rec = &g->tree.recs[i];
		f4_auto_inode *f = NULL;
		f4_auto_free uint8_t *buf = NULL;
		const char *what;
		uint64_t unit;
		size_t got;
		int r;

		if ((rec->mode & 0170000) != 0100000 || strcmp(rec->path, "/ballast") == 0)
			continue;
		buf = calloc(1, rec->size + UNIT);
		r = f4_inode_get(g->vol, rec->ino, 0, &f);
		if (r == 0)
			r = f4_file_read(f, buf, rec->size, 0, &got);
		if (r < 0) {
			bad(g->v, "%s can't be read: %d", rec->path, r);
			return false;
		}
		what = model_check(g->l->model, rec->ino, rec->generation, buf, got, k, g->done,
				   g->begun, strict && soft != rec->ino, &unit);
		if (!what && got == rec->size)
			continue;
		if (what && g->verbose)
			model_explain(g->l->model, rec->ino, rec->generation, unit,
				      buf + unit * UNIT);
		bad(g->v, "%s (inode %u), bytes from %llu: %s (as of request %u)", rec->path,
		    rec->ino, (unsigned long long)unit * UNIT, what ? what : "short", k);
		return false;
	}
	return true;
}

static void compare(struct judging *g)
{
	uint32_t last = g->begun < g->l->n_ops ? g->begun : g->l->n_ops, soft;
	uint32_t first = g->floor;
	bool some = false;

	/* A request that changed nothing but data in place promises nothing before an fsync. */
	while (first > 0 && g->l->trees[first - 1].digest == g->l->trees[first].digest)
		first--;
	for (uint32_t k = first; k <= last; k++) {
		if (!tree_is(g, k, &soft))
			continue;
		some = true;
		if (content_is(g, k, soft)) {
			g->v->what[0] = 0;
			return;
		}
	}
	if (some)
		return; /* content_is said why not */
	bad(g->v, "the tree is that after none of the requests %u to %u", first, last);
	for (uint32_t k = 0; k < g->floor; k++)
		if (g->l->trees[k].digest == g->tree.digest)
			bad(g->v, "the tree is that after request %u, but %u was durable", k, g->floor);
	if (g->verbose)
		tree_print_diff(&g->tree, &g->l->trees[last]);
}

static void run_fsck(struct f4_disk *state, const char *dir, struct verdict *v)
{
	char path[512], cmd[1200];
	int r;

	snprintf(path, sizeof(path), "%s/state.img", dir);
	r = f4_sim_store(state, path);
	if (r < 0) {
		bad(v, "%s: %d", path, r);
		return;
	}
	snprintf(cmd, sizeof(cmd),
		 "PATH=$PATH:/usr/sbin:/sbin; e2fsck -fn '%s' >'%s.log' 2>&1 </dev/null", path, path);
	r = system(cmd);
	if (!WIFEXITED(r) || WEXITSTATUS(r) != 0) {
		bad(v, "e2fsck -fn says %d: see %s and .log", WEXITSTATUS(r), path);
		return;
	}
	(void)unlink(path);
}

void lab_judge(struct lab *l, struct f4_disk *state, uint32_t done, const char *fsck, bool verbose,
	       struct verdict *ret)
{
	struct judging g = { .l = l, .floor = l->floor[done], .done = done, .begun = done + 1,
			     .v = ret, .verbose = verbose };
	struct lab scratch = { 0 }; /* for the log line */
	char where[128];
	int r;

	ret->what[0] = 0;
	r = lab_open(&scratch, l->shape, state, &g.vol);
	if (r < 0) {
		bad(ret, "the mount fails: %d %s", r, scratch.last_line);
		return;
	}
	r = tree_read(g.vol, &g.tree, where);
	if (r < 0)
		bad(ret, "the tree can't be read: %d at %s: %s", r, where, scratch.last_line);
	else
		compare(&g);
	if (!ret->what[0] && atomic_load(&g.vol->errors_seen))
		bad(ret, "errors were noticed: %s", scratch.last_line);
	tree_done(&g.tree);
	r = f4_volume_close(g.vol);
	if (r < 0 && !ret->what[0])
		bad(ret, "the unmount fails: %d %s", r, scratch.last_line);
	if (!ret->what[0] && fsck)
		run_fsck(state, fsck, ret);
}
