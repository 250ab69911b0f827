/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Circular doubly linked list with the link inside the element.
 *
 * A head and a link are the same struct; an empty head points to itself. No function allocates,
 * none locks: the owner of the list does. An element on no list has a link that points to itself
 * (f4_list_init, f4_list_del), so f4_list_empty(&elem->link) tells whether it is on one.
 */
#ifndef F4_BASE_LIST_H
#define F4_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/base/cleanup.h"

struct f4_list {
	struct f4_list *next, *prev;
};

#define F4_LIST_INIT(name) { &(name), &(name) }

static inline void f4_list_init(struct f4_list *l)
{
	l->next = l->prev = l;
}

static inline bool f4_list_empty(const struct f4_list *l)
{
	return l->next == l;
}

static inline void f4_list_insert(struct f4_list *prev, struct f4_list *next, struct f4_list *e)
{
	e->prev = prev;
	e->next = next;
	prev->next = e;
	next->prev = e;
}

/* f4_list_add - @e becomes the first element of @head. */
static inline void f4_list_add(struct f4_list *head, struct f4_list *e)
{
	f4_list_insert(head, head->next, e);
}

/* f4_list_add_tail - @e becomes the last element of @head. */
static inline void f4_list_add_tail(struct f4_list *head, struct f4_list *e)
{
	f4_list_insert(head->prev, head, e);
}

/* f4_list_del - take @e off its list; harmless when it is on none. */
static inline void f4_list_del(struct f4_list *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
	f4_list_init(e);
}

/* f4_list_splice - move all of @from to the end of @to; @from is empty afterwards. */
static inline void f4_list_splice(struct f4_list *from, struct f4_list *to)
{
	if (f4_list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	f4_list_init(from);
}

#define f4_list_entry(ptr, type, member) f4_container_of(ptr, type, member)
#define f4_list_first(head, type, member) f4_list_entry((head)->next, type, member)

#define f4_list_each(e, head, member)                                            \
	for (e = f4_list_entry((head)->next, __typeof__(*e), member);            \
	     &e->member != (head);                                               \
	     e = f4_list_entry(e->member.next, __typeof__(*e), member))

/* As f4_list_each; the body may delete @e. */
#define f4_list_each_safe(e, tmp, head, member)                                  \
	for (e = f4_list_entry((head)->next, __typeof__(*e), member),            \
	    tmp = f4_list_entry(e->member.next, __typeof__(*e), member);         \
	     &e->member != (head);                                               \
	     e = tmp, tmp = f4_list_entry(e->member.next, __typeof__(*e), member))

#endif
