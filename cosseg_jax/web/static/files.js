// Image files that are chosen, dropped (also as folders) or pasted.

const TYPES = /^image\//;
const UNTYPED = /\.(heic|heif|avif)$/i; // not all systems know their types
const isImage = (file) => TYPES.test(file.type) || (!file.type && UNTYPED.test(file.name));

// Calls take(files) with the files of each such action.
export function listenForFiles(take) {
  const picker = document.getElementById("files");
  const dropping = document.getElementById("dropping");
  for (const id of ["choose", "add"]) {
    document.getElementById(id).addEventListener("click", () => picker.click());
  }
  picker.addEventListener("change", () => {
    const files = [...picker.files];
    picker.value = "";
    if (files.length) take(files);
  });

  let depth = 0; // dragenter and dragleave occur for every element that is crossed
  const lift = (by) => {
    depth = Math.max(0, depth + by);
    dropping.classList.toggle("on", depth > 0);
  };
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => carriesFiles(event) && lift(1));
  addEventListener("dragleave", (event) => carriesFiles(event) && lift(-1));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    lift(-depth);
    const files = await dropped(event.dataTransfer);
    if (files.length) take(files);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter((file) => TYPES.test(file.type));
    if (files.length) take(files);
  });
}

async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  return (await Promise.all(entries.map(filesOf))).flat();
}

// The image files in a folder and below it; a file that was itself dropped is taken in any case.
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((done, fail) => entry.file(done, fail))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) break;
    found.push(...some);
  }
  const files = (await Promise.all(found.map(filesOf))).flat();
  return files.filter(isImage).sort((a, b) => a.name.localeCompare(b.name));
}
