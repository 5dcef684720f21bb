// Brings each event of the master to the panel that shows it.

import { showConfiguration, showObject, showTrail, wireConfiguration, wireQuorum } from "./consistency.js";
import { found, say } from "./dom.js";
import { Job } from "./job.js";
import { Logs } from "./logs.js";
import { Pods } from "./pods.js";
import { Stream } from "./stream.js";

const AWAY_MS = 30_000; // the master gives a sign of life every ten seconds

const pods = new Pods();
const job = new Job(pods);
let master = null;
let lostAt = null;
let told = null; // the last news of the pods

function connected(words) {
  document.body.classList.remove("lost");
  const away = lostAt ? ` (after ${((Date.now() - lostAt) / 1000).toFixed(1)} s)` : "";
  lostAt = null;
  say(found("connection"), words + away);
}

function showPods(news) {
  if (!news) return;
  told = news;
  pods.show(told);
  showConfiguration(told);
  job.paintSoon();
}

const stream = new Stream({
  snapshot(all, silence) {
    const before = master;
    pods.blind = silence > AWAY_MS;
    master = all.pod;
    showPods(all.pods);
    job.reset(all.jobs, all.tasks, all.kinds);
    showObject(all.object);
    showTrail(all.trail);
    if (before && before !== master) connected(`The master has changed: ${master} leads now, in epoch ${all.epoch}`);
    else connected(`Connected to the master, ${master}`);
  },
  resumed() {
    showPods(told); // nothing has changed, or it follows
    connected(`Connected to the master, ${master}`);
  },
  job: (news) => job.take(news),
  tasks: (news) => job.takeTasks(news),
  pods: showPods,
  object: showObject,
  trail: showTrail,
  log: (news) => logs.take(news),
  lost(why) {
    document.body.classList.add("lost");
    lostAt ??= Date.now();
    pods.silent(master);
    say(found("connection"), `Lost ${master ? `the master, ${master}` : "the connection"}; looking for the new master${why ? `: ${why}` : " …"}`);
  },
});
const logs = new Logs((shown) => stream.show(shown));

wireConfiguration();
wireQuorum();
stream.open();
