// Uploads a file and follows its job until the result shows. Everything that comes from outside is set as
// text, never as HTML.

const found = (id) => document.getElementById(id);
const say = (text) => { found("said").textContent = text; };
let followed = null; // the id of the job that this page has sent

async function ask(path, options) {
  const answer = await fetch(path, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  return body;
}

function row(...cells) {
  const made = document.createElement("tr");
  for (const cell of cells) {
    const td = document.createElement("td");
    td.append(cell ?? "");
    made.append(td);
  }
  return made;
}

function link(path) {
  if (!path) return "";
  const made = document.createElement("a");
  made.href = path;
  made.textContent = path.split("/").pop().split("_").pop();
  return made;
}

async function showJobs() {
  const jobs = await ask("/jobs");
  found("jobs").replaceChildren(...jobs.map((job) =>
    row(job.name, job.job, job.error ? `${job.state}: ${job.error}` : job.state, job.seconds, link(job.download))));
}

async function showNodes() {
  const { nodes } = await ask("/cluster");
  found("nodes").replaceChildren(...nodes.map((node) =>
    row(node.pod, node.role, node.slot, node.config_version, (node.doing ?? []).join(", "))));
}

function showProgress(job) {
  found("progress").hidden = job.state !== "running";
  found("progress").max = job.tasks_total || 1;
  found("progress").value = job.tasks_done;
  if (job.state === "failed") say(`failed: ${job.error}`);
  else if (job.state === "done") showResult(job);
  else say(`${job.state}${job.phase ? `: ${job.phase}, ${job.tasks_done} of ${job.tasks_total} tasks` : ""}`);
}

function showResult(job) {
  say(`done in ${job.seconds} s`);
  const result = link(job.download);
  result.textContent = `Result of ${job.name}`;
  found("result").replaceChildren(result);
  if (/\.(png|jpe?g)$/.test(job.download)) {
    const image = new Image();
    image.src = job.download;
    image.alt = `The result of ${job.name}`;
    found("result").append(document.createElement("br"), image);
  }
}

found("upload").addEventListener("submit", async (event) => {
  event.preventDefault();
  found("result").replaceChildren();
  say("sending; the answer comes when two disks have it");
  try {
    const { job_id } = await ask("/upload", { method: "POST", body: new FormData(event.target) });
    followed = job_id;
    showProgress(await ask(`/jobs/${job_id}`));
  } catch (error) {
    say(error.message);
  }
});

const events = new EventSource("/events");
events.addEventListener("open", async () => {
  await Promise.all([showJobs(), showNodes()]);
  if (followed) showProgress(await ask(`/jobs/${followed}`));
});
events.addEventListener("error", () => say("the master has gone, or changed; connecting again"));
events.addEventListener("cluster", showNodes);
events.addEventListener("job", (event) => {
  const job = JSON.parse(event.data);
  if (job.id === followed) showProgress(job);
  if (job.state !== "running") showJobs();
});
