/*
 * frontends/http/admin.c - see admin.h.
 */
#include "admin.h"

#include <string.h>

#include <gio/gio.h>

#include "handlers.h"

/* "name", "name:port", "[v6]:port": the name in lower case, without the dot that a full name may
 * end with. NULL: there is none. */
static char *name_of(const char *host)
{
	const char *end = host + strlen(host);
	if (host[0] == '[') {
		end = strchr(++host, ']');
	} else {
		const char *colon = strrchr(host, ':');
		if (colon && strchr(host, ':') == colon)
			end = colon;
	}
	if (end && end > host + 1 && end[-1] == '.')
		end--;
	return end && end > host ? g_ascii_strdown(host, end - host) : NULL;
}

static bool is_loopback(const char *name)
{
	g_autoptr(GInetAddress) address = g_inet_address_new_from_string(name);
	return address && g_inet_address_get_is_loopback(address);
}

static bool in_list(char *const *list, const char *name)
{
	for (; list && *list; list++) {
		g_autofree char *one = name_of(*list);
		if (one && strcmp(one, name) == 0)
			return true;
	}
	return false;
}

bool admin_knows_host(const struct http_config *conf, const char *host)
{
	g_autofree char *name = name_of(host);
	if (!name)
		return false;
	return strcmp(name, "localhost") == 0 || g_str_has_suffix(name, ".localhost") ||
	       is_loopback(name) || in_list(conf->listen, name) || in_list(conf->admin_hosts, name);
}

const char *admin_refuses(const struct http_config *conf, bool loopback, const char *origin,
			  const char *host, const char **ret_name)
{
	const char *from = origin ? strstr(origin, "://") : NULL;
	*ret_name = NULL;
	if (!loopback)
		return "administration is allowed from this machine only";
	/* Who sends no Host is no browser. */
	if (host && !admin_knows_host(conf, host)) {
		*ret_name = host;
		return "administration is not answered under this name: use localhost, or add the "
		       "name to admin_hosts in the frontend's section of the profile";
	}
	if (origin && (!from || !host || g_ascii_strcasecmp(from + 3, host) != 0)) {
		*ret_name = origin;
		return "administration is not for pages of other sites";
	}
	return NULL;
}

bool handle_is_admin(struct conn *c)
{
	const struct http *h = c->plane->http;
	const char *name;
	return h->config.admin && !admin_refuses(&h->config, conn_is_loopback(c),
						 http_request_header(c->req, "origin"),
						 http_request_header(c->req, "host"), &name);
}

bool handle_from_here(struct conn *c)
{
	const struct http *h = c->plane->http;
	const char *name, *why = admin_refuses(&h->config, conn_is_loopback(c),
					       http_request_header(c->req, "origin"),
					       http_request_header(c->req, "host"), &name);
	if (!why)
		return true;
	g_autofree char *text = name ? g_strdup_printf("%s (it was '%.100s')", why, name) : NULL;
	conn_respond_error(c, 403, "permission_denied", text ? text : why);
	return false;
}
