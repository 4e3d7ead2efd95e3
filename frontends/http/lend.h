/*
 * frontends/http/lend.h - requests of cold routes, lent to libsoup one at a time.
 *
 * The plane has framed the request; libsoup gets it as clean bytes from memory, through a GIOStream
 * whose input ends with the request and whose output is the connection's output buffer (it blocks
 * while 64 KiB are unsent). When the answer is written the connection is taken back. So libsoup
 * never owns a socket, an idle connection or an unchecked byte, and does what it is good at: file
 * answers with ranges and conditions. [loop]
 */
#ifndef HTTP_LEND_H
#define HTTP_LEND_H

#include "conn.h"

struct lender *lender_new(struct plane *);
void lender_free(struct lender *);
/* Answers the connection's request, now or as the client takes it. */
void lend(struct conn *);

#endif
