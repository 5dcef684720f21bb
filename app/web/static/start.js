// The page is a dozen files, and a browser that loses one (its machine's network has just changed: Docker does
// that with every container) runs none of them. So a page that can't start loads all of it again, a few times.

const TRIES = 5;
const PAUSE_MS = 500;
const KEY = "failed starts";

try {
  await import("./page.js");
  sessionStorage.removeItem(KEY);
} catch (error) {
  const failed = Number(sessionStorage.getItem(KEY)) + 1;
  sessionStorage.setItem(KEY, failed < TRIES ? failed : 0);
  if (failed < TRIES) setTimeout(() => location.reload(), PAUSE_MS * failed);
  else document.getElementById("connection").textContent = `The page can't start: ${error.message}. Reload it.`;
}
