/* theme.js - light, dark, or as the system has it: before the first paint, hence no module. */
(() => {
	let theme = null;
	try {
		theme = localStorage.getItem("weir.theme");
	} catch {
		// no storage: as the system has it
	}
	if (theme === "light" || theme === "dark")
		document.documentElement.dataset.theme = theme;
})();
