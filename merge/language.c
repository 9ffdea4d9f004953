/* SPDX-License-Identifier: Apache-2.0 */
#include "language.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"

static const struct language text = {"text", false, false, IMPORT_NONE};

static const struct {
	const char *ext;
	struct language lang;
} by_ext[] = {
	{".bash", {"bash", false, false, IMPORT_NONE}},
	{".c", {"c", false, false, IMPORT_C}},
	{".cc", {"cpp", false, false, IMPORT_C}},
	{".cjs", {"javascript", false, false, IMPORT_JS}},
	{".cpp", {"cpp", false, false, IMPORT_C}},
	{".cs", {"csharp", false, false, IMPORT_CSHARP}},
	{".css", {"css", false, false, IMPORT_NONE}},
	{".cxx", {"cpp", false, false, IMPORT_C}},
	{".go", {"go", false, false, IMPORT_GO}},
	{".h", {"c", false, false, IMPORT_C}},
	{".hpp", {"cpp", false, false, IMPORT_C}},
	{".htm", {"html", false, false, IMPORT_NONE}},
	{".html", {"html", false, false, IMPORT_NONE}},
	{".java", {"java", false, false, IMPORT_JAVA}},
	{".js", {"javascript", false, false, IMPORT_JS}},
	{".json", {"json", false, false, IMPORT_NONE}},
	{".jsx", {"javascript", false, false, IMPORT_JS}},
	{".kt", {"kotlin", false, false, IMPORT_JAVA}},
	{".markdown", {"markdown", true, true, IMPORT_NONE}},
	{".md", {"markdown", true, true, IMPORT_NONE}},
	{".mjs", {"javascript", false, false, IMPORT_JS}},
	{".mk", {"make", false, true, IMPORT_NONE}},
	{".php", {"php", false, false, IMPORT_PHP}},
	{".py", {"python", false, true, IMPORT_PYTHON}},
	{".pyi", {"python", false, true, IMPORT_PYTHON}},
	{".rb", {"ruby", false, false, IMPORT_RUBY}},
	{".rs", {"rust", false, false, IMPORT_RUST}},
	{".rst", {"rst", true, true, IMPORT_NONE}},
	{".scala", {"scala", false, false, IMPORT_JAVA}},
	{".sh", {"bash", false, false, IMPORT_NONE}},
	{".toml", {"toml", false, false, IMPORT_NONE}},
	{".ts", {"typescript", false, false, IMPORT_JS}},
	{".tsx", {"tsx", false, false, IMPORT_JS}},
	{".txt", {"text", true, false, IMPORT_NONE}},
	{".yaml", {"yaml", false, true, IMPORT_NONE}},
	{".yml", {"yaml", false, true, IMPORT_NONE}},
};

static const struct {
	const char *name;
	struct language lang;
} by_name[] = {
	{"makefile", {"make", false, true, IMPORT_NONE}},
	{"gnumakefile", {"make", false, true, IMPORT_NONE}},
	{"readme", {"text", true, false, IMPORT_NONE}},
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

const struct language *language_of(const char *path)
{
	const char *name = base_name(path), *ext = strrchr(name, '.');

	for (size_t i = 0; i < ARRAY_SIZE(by_name); i++)
		if (strcasecmp(name, by_name[i].name) == 0)
			return &by_name[i].lang;
	for (size_t i = 0; ext && i < ARRAY_SIZE(by_ext); i++)
		if (strcasecmp(ext, by_ext[i].ext) == 0)
			return &by_ext[i].lang;
	return &text;
}

const struct language *language_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(by_ext); i++)
		if (strcmp(by_ext[i].lang.name, name) == 0)
			return &by_ext[i].lang;
	return NULL;
}

static const char *const locks[] = {
	"bun.lock",
	"Cargo.lock",
	"composer.lock",
	"flake.lock",
	"Gemfile.lock",
	"go.sum",
	"gradle.lockfile",
	"mix.lock",
	"package-lock.json",
	"packages.lock.json",
	"npm-shrinkwrap.json",
	"Pipfile.lock",
	"pnpm-lock.yaml",
	"poetry.lock",
	"pubspec.lock",
	"uv.lock",
	"yarn.lock",
};

static const char *const generated[] = {".min.js", ".min.css", ".pb.go", "_pb2.py", ".map"};

static const char *const ignores[] = {".gitignore",    ".dockerignore",	  ".npmignore",
				      ".eslintignore", ".prettierignore", ".hgignore"};

static const char *const changelogs[] = {"changelog",	  "changes",	 "history",
					 "news",	  "releases",	 "release-notes",
					 "release_notes", "releasenotes"};

static const char *const names[] = {"authors", "contributors", "maintainers",
				    "credits", "thanks",       ".mailmap"};

static bool one_of(const char *name, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(name, v[i]) == 0)
			return true;
	return false;
}

/* NAME, or NAME with an extension of prose. */
static bool stem_of(const char *name, const char *const *v, size_t n)
{
	static const char *const prose[] = {".md", ".markdown", ".rst", ".txt", ""};

	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(v[i]);

		if (strncasecmp(name, v[i], len) != 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(prose); k++)
			if (strcasecmp(name + len, prose[k]) == 0)
				return true;
	}
	return false;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n > k && strcmp(s + n - k, end) == 0;
}

enum path_class path_class_of(const char *path)
{
	const char *name = base_name(path);

	if (one_of(name, locks, ARRAY_SIZE(locks)))
		return PATH_LOCK;
	for (size_t i = 0; i < ARRAY_SIZE(generated); i++)
		if (ends_with(name, generated[i]))
			return PATH_GENERATED;
	if (one_of(name, ignores, ARRAY_SIZE(ignores)))
		return PATH_IGNORE;
	if (stem_of(name, changelogs, ARRAY_SIZE(changelogs)))
		return PATH_CHANGELOG;
	return stem_of(name, names, ARRAY_SIZE(names)) ? PATH_NAMES : PATH_PLAIN;
}

static const char *const class_names[PATH_CLASSES] = {
	[PATH_PLAIN] = "plain",		[PATH_LOCK] = "lock",	[PATH_GENERATED] = "generated",
	[PATH_CHANGELOG] = "changelog", [PATH_NAMES] = "names", [PATH_IGNORE] = "ignore",
};

const char *path_class_name(enum path_class class)
{
	return class < PATH_CLASSES ? class_names[class] : "plain";
}

enum path_class path_class_named(const char *name)
{
	for (int i = 0; i < PATH_CLASSES; i++)
		if (strcmp(class_names[i], name) == 0)
			return (enum path_class)i;
	return PATH_PLAIN;
}
