/*
 * frontends/http/admin.h - who may administer: clients on this machine, but no page of another site
 * in one of its browsers.
 *
 * Such a page can send a POST here (its Origin tells), and a page whose name's address was changed
 * to ours meanwhile (DNS rebinding) can read the answers too: for its browser it is our page. The
 * name that it was loaded under then stands in Host, and in Origin where there is one. So only
 * names that cannot be somebody else's are answered.
 */
#ifndef HTTP_ADMIN_H
#define HTTP_ADMIN_H

#include "http.h"

/* Is the value of a Host header localhost, below localhost, a loopback address, or what the options
 * listen or admin_hosts name? The port does not matter. Pure. */
bool admin_knows_host(const struct http_config *, const char *host);
/* NULL: this request may administer. Else why not; name is the header's value that is at fault, or
 * NULL. origin, host: the headers, or NULL. Pure. */
const char *admin_refuses(const struct http_config *, bool loopback, const char *origin,
			  const char *host, const char **ret_name);

#endif
