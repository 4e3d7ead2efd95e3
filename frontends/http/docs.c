/*
 * frontends/http/docs.c - see docs.h.
 */
#include "docs.h"

#include <string.h>
#include <unistd.h>

#define HEAD                                                                                       \
	"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Weir API</title>" \
	"<meta name=\"viewport\" content=\"width=device-width\">"

static const char page[] = HEAD "<link rel=\"stylesheet\" href=\"/docs/swagger-ui.css\">"
				"<link rel=\"icon\" href=\"/docs/favicon-32x32.png\"></head>\n"
				"<body><div id=\"swagger-ui\"></div>\n"
				"<script src=\"/docs/swagger-ui-bundle.js\"></script>\n"
				"<script src=\"/docs/init.js\"></script></body></html>\n";

static const char script[] =
	"window.ui = SwaggerUIBundle({\n"
	"  url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null,\n"
	"  tryItOutEnabled: true, presets: [SwaggerUIBundle.presets.apis], layout: 'BaseLayout',\n"
	"});\n";

static const char missing[] =
	HEAD "<link rel=\"icon\" href=\"data:,\"></head>"
	     "<body><h1>Swagger UI is not installed</h1>\n"
	     "<p>It is the npm package <code>swagger-ui-dist</code>. <code>./dev run</code> and "
	     "<code>./dev test</code> install it where npm is to be had; elsewhere: "
	     "<code>npm --prefix data/openapi install</code>, and name its folder in the "
	     "profile:</p>\n"
	     "<pre>[frontend.http]\nswagger_ui = FOLDER/node_modules/swagger-ui-dist</pre>\n"
	     "<p>The API's description is there without it: <a href=\"/openapi.json\">"
	     "/openapi.json</a>.</p></body></html>\n";

static const char *const files[] = { "swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png",
				     NULL };

static bool is_page(const char *path)
{
	return strcmp(path, "/docs") == 0 || strcmp(path, "/docs/") == 0;
}

static const char *package_file(const char *path)
{
	const char *name = g_str_has_prefix(path, "/docs/") ? path + strlen("/docs/") : "";
	return g_strv_contains(files, name) ? name : NULL;
}

bool docs_has(const char *path)
{
	return is_page(path) || strcmp(path, "/docs/init.js") == 0 || package_file(path);
}

char *docs_file(const struct http *h, const char *path)
{
	const char *name = package_file(path);
	if (!name || !h->config.swagger_ui)
		return NULL;
	return g_build_filename(h->config.swagger_ui, name, NULL);
}

const char *docs_text(const struct http *h, const char *path, const char **ret_type)
{
	if (strcmp(path, "/docs/init.js") == 0) {
		*ret_type = "text/javascript; charset=utf-8";
		return script;
	}
	if (!is_page(path))
		return NULL;
	*ret_type = "text/html; charset=utf-8";
	g_autofree char *bundle = docs_file(h, "/docs/swagger-ui-bundle.js");
	return bundle && access(bundle, R_OK) == 0 ? page : missing;
}

const char *docs_policy(void)
{
	return "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
	       "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'";
}
