/*
 * core/place.h - where the installed files of this program lie. Reads the file system; any thread.
 */
#ifndef WEIR_CORE_PLACE_H
#define WEIR_CORE_PLACE_H

/* PREFIX/bin/weir finds PREFIX/below, so that a tree that was staged, unpacked or moved finds its
 * own files; where there is no such folder, `configured`. program NULL: this one. g_free() it. */
char *weir_place_installed(const char *program, const char *below, const char *configured);

#endif
