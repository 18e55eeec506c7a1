// A second verifier of draw bundles, written from docs/draw-format.md alone. node second_verifier.mjs BUNDLE
// Exit 0: every check passed. 1: the first check that failed is named. 2: the bundle cannot be read. Only node's own library.
import { createHash, createHmac, createPublicKey, verify as edVerify } from "node:crypto";
import { existsSync, lstatSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const dir = process.argv[2];
if (!dir || !existsSync(join(dir, "bundle.json"))) {
  console.error(`no bundle in ${dir}: give the folder that holds bundle.json`);
  process.exit(2);
}
const fail = (message) => {
  console.log(`NOT HONEST: ${message}`);
  process.exit(1);
};
const must = (condition, message) => condition || fail(message);
const unreadable = (message) => {
  console.log(`UNREADABLE: ${message}`);
  process.exit(2);
};
const legible = (condition, message) => condition || unreadable(message);
process.on("uncaughtException", (error) => unreadable(`a value has not the kind of the format (${error.message})`));

// ---- §2 encodings
const sha = (data) => createHash("sha256").update(data).digest("hex");
const HEX64 = /^[0-9a-f]{64}$/;
const byText = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b));
const byAll = (...keys) => (a, b) => {
  for (const key of keys) {
    const [x, y] = [key(a), key(b)];
    const order = typeof x === "number" ? x - y : byText(x, y);
    if (order) return order;
  }
  return 0;
};
function canonical(x) {
  if (Array.isArray(x)) return `[${x.map(canonical).join(",")}]`;
  if (x !== null && typeof x === "object") {
    const keys = Object.keys(x).sort(byText);
    return `{${keys.map((key) => `${canonical(key)}:${canonical(x[key])}`).join(",")}}`;
  }
  if (typeof x === "number" && !Number.isSafeInteger(x)) throw new Error(`${x} is no whole number`);
  if (typeof x === "string" && (x !== x.normalize("NFC") || !x.isWellFormed())) throw new Error("a text is not in NFC");
  return JSON.stringify(x);
}
const same = (x, y) => canonical(x) === canonical(y);
const without = (x, key) => Object.fromEntries(Object.entries(x).filter(([name]) => name !== key));
const bytes = (name) => readFileSync(join(dir, name));
const text = (name) => {
  const content = bytes(name);
  legible(Buffer.from(content.toString("utf8")).equals(content), `${name} is not UTF-8`);
  return content.toString("utf8");
};
function parse(line, where) {
  try {
    const value = JSON.parse(line);
    legible(canonical(value) === line, `${where} is not canonical JSON`);
    return value;
  } catch (error) {
    return unreadable(`${where} is not canonical JSON: ${error.message}`);
  }
}
function json(name) {
  const content = text(name);
  legible(content.endsWith("\n"), `${name} does not end with a line end`);
  return parse(content.slice(0, -1), name);
}
const FORMS = {
  unit_id: /^[0-9A-Z]{1,12}$/,
  draw_unit_id: /^[0-9A-Z]{1,12}$/,
  item_code: /^[0-9A-Z][0-9A-Z_-]{0,31}$/,
  uscc: /^[0-9A-HJ-NPQRTUWXY]{18}$/,
  platform_grade: /^[A-E]$/,
  region: /^[0-9]{0,12}$/,
  region_prefix: /^[0-9]{0,12}$/,
  is_safety_related: /^[01]$/,
  is_leader: /^[01]$/,
  is_drawn: /^[01]$/,
  excluded_reason: /^[^|\p{Cc}]{0,200}$/u,
  reason: /^[^|\p{Cc}]{0,200}$/u,
  inspector_id: /^[^|;:,\s\p{Cc}]{1,64}$/u,
  skills: /^[^|\p{Cc}]*$/u,
  salt: /^[0-9a-f]{32}$/,
  ticket: HEX64,
  rounding: /^(ceil|half_up|floor)$/,
  role: /^(leader|member)$/,
  skipped: /^[^|\p{Cc}]*$/u,
};
const NUMBERS = new Set(
  "stratum_size drawn_before ratio_bp rounds_due rounds_per_year target quota wave rank position eligible_count rank_taken".split(" "),
);
function csv(name, header) {
  const columns = header.split(",");
  const content = text(name);
  const records = [];
  let [record, field, quoted] = [[], "", false];
  for (let at = 0; at < content.length; at++) {
    const c = content[at];
    if (quoted && c === '"' && content[at + 1] === '"') field += content[++at];
    else if (c === '"') quoted = !quoted;
    else if (!quoted && c === ",") record.push(field), (field = "");
    else if (!quoted && c === "\n") records.push([...record, field]), ([record, field] = [[], ""]);
    else field += c;
  }
  const quote = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  legible(records.map((row) => `${row.map(quote).join(",")}\n`).join("") === content, `${name} is not CSV as in the format`);
  legible(records.shift()?.join(",") === header, `${name}: the header is not ${header}`);
  return records.map((row, i) => {
    legible(row.length === columns.length, `${name} row ${i + 2}: ${row.length} fields instead of ${columns.length}`);
    const entries = columns.map((column, j) => {
      const form = NUMBERS.has(column) ? /^(0|[1-9][0-9]{0,14})$/ : FORMS[column];
      must(form.test(row[j]), `${name} row ${i + 2}: ${column} has not its form`);
      return [column, NUMBERS.has(column) ? Number(row[j]) : row[j]];
    });
    return Object.fromEntries(entries);
  });
}
const line = (tag, row, columns) => [tag, ...columns.map((column) => row[column])].join("|");
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const DAY = /^\d{4}-\d\d-\d\d$/;
function dayOf(time) {
  must(TIME.test(time) && !Number.isNaN(Date.parse(time)), `${time} is no time`);
  return new Date(Date.parse(time) + 8 * 3600e3).toISOString().slice(0, 10);
}
const isDay = (day) => DAY.test(day) && !Number.isNaN(Date.parse(day)) && addDays(day, 0) === day;
const addDays = (day, n) => new Date(Date.parse(day) + n * 86400e3).toISOString().slice(0, 10);
const SMALL_ORDER = new Set(
  [
    "00".repeat(32),
    "01" + "00".repeat(31),
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ...["ec", "ed", "ee"].map((first) => first + "ff".repeat(30) + "7f"),
  ],
);
function signed(key, message, signature) {
  if (!HEX64.test(key) || !/^[0-9a-f]{128}$/.test(signature)) return false;
  const raw = Buffer.from(key, "hex");
  const masked = Buffer.from(raw);
  masked[31] &= 0x7f;
  if (SMALL_ORDER.has(masked.toString("hex"))) return false;
  const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
  const publicKey = createPublicKey({ key: der, format: "der", type: "spki" });
  return edVerify(null, Buffer.from(message), publicKey, Buffer.from(signature, "hex"));
}
const holds = (x, names, where) =>
  must(same(Object.keys(x).sort(byText), names.split(" ").sort(byText)), `${where}: its fields are not ${names}`);
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/u;
function people(names) {
  must(!names.some((name) => INVISIBLE.test(name)), "an approver's name holds an invisible character");
  return new Set(names.map((name) => name.trim().toLowerCase()).filter(Boolean)).size;
}

// ---- §1, §3 folder and manifest
const BOTH = "plan.json freeze.json commitments.json entropy.json seed.json abort.json log.jsonl checkpoints.json";
const MORE = "reveals.json frame.csv quotas.csv roster.csv recusals.csv draw.csv topups.json assignments.csv replacements.json";
const manifest = json("bundle.json");
holds(manifest, "format form plan_id round state files public_key signature", "bundle.json");
must(manifest.format === "credit-pipeline-draw/1", "bundle.json: another format");
must(["authorised", "public"].includes(manifest.form), "bundle.json: unknown form");
const full = manifest.form === "authorised";
const wanted = (full ? `${BOTH} ${MORE}` : BOTH).split(" ").sort(byText);
must(same(Object.keys(manifest.files).sort(byText), wanted), "bundle.json does not name the files of its form");
for (const name of readdirSync(dir)) {
  must([...wanted, "bundle.json", "README.md", "verify_draw.py"].includes(name), `${name} does not belong into a bundle`);
  legible(lstatSync(join(dir, name)).isFile(), `${name} is no plain file`);
}
for (const name of wanted) {
  legible(existsSync(join(dir, name)), `${name} is missing`);
  must(sha(bytes(name)) === manifest.files[name], `${name} is not the file of the manifest`);
}
const office = manifest.public_key;
must(signed(office, `BUNDLE1|${canonical(without(manifest, "signature"))}`, manifest.signature), "bundle.json: false signature");
const { plan_id: planId, round } = manifest;
must(/^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$/.test(planId) && Number.isInteger(round) && round >= 1, "bundle.json: plan_id or round");

// ---- §12 log: chain, steps, cut, checkpoints
const logText = text("log.jsonl");
must(logText.endsWith("\n"), "log.jsonl does not end with a line end");
const log = logText.slice(0, -1).split("\n").map((row, i) => parse(row, `log.jsonl line ${i + 1}`));
const isStep = (record) =>
  record.event?.startsWith("round_") && record.details?.plan_id === planId && String(record.details.round) === String(round);
log.forEach((record, i) => {
  const where = `log.jsonl line ${i + 1}`;
  must(record.seq === i + 1, `${where}: seq is not ${i + 1}`);
  must(HEX64.test(record.hash), `${where}: no hash`);
  const isReduced = !full && same(Object.keys(record).sort(), ["hash", "seq"]);
  if (isReduced) return;
  holds(record, "seq prev time event stage run_id details hash", where);
  must(full || isStep(record), `${where}: the public form holds other events only as seq and hash`);
  must(record.prev === (i ? log[i - 1].hash : "0".repeat(64)), `${where}: the chain is broken`);
  must(record.hash === sha(`AUDITLOG1|${canonical(without(record, "hash"))}`), `${where}: the hash is not that of the record`);
});
const steps = log.filter(isStep);
const checkpoints = json("checkpoints.json");
checkpoints.forEach((point, i) => {
  const where = `checkpoints.json, number ${i + 1}`;
  const before = checkpoints[i - 1];
  must(point.prev_checkpoint === (before ? sha(canonical(before)) : "0".repeat(64)), `${where}: the chain is broken`);
  must(point.size > (before?.size ?? 0) && point.size <= log.length, `${where}: its size is not behind the one before and in the log`);
  must(point.head === log[point.size - 1].hash, `${where}: head is not the hash of line ${point.size}`);
  must(point.key_id === sha(Buffer.from(office, "hex")).slice(0, 16), `${where}: another key`);
  holds(point, "log size head time frame_root prev_checkpoint key_id signature", where);
  const statement = without(without(point, "signature"), "key_id");
  must(signed(office, `CHECKPOINT1|${canonical(statement)}`, point.signature), `${where}: false signature`);
});
must(steps.length > 0, "log.jsonl holds no step of this round");
const lastStep = steps.at(-1);
const covering = checkpoints.find((point) => point.size >= lastStep.seq);
must(log.length === (covering?.size ?? lastStep.seq), "log.jsonl is not cut where the format says");

const ORDER = ["round_frame_frozen", "round_committed", "round_entropy", "round_drawn"];
const STATES = { round_frame_frozen: "FRAME_FROZEN", round_committed: "COMMITTED", round_entropy: "ENTROPY", round_drawn: "DRAWN",
  round_assigned: "ASSIGNED", round_closed: "CLOSED", round_aborted: "ABORTED" };
const AFTER = ["round_topped_up", "round_assigned", "round_inspector_replaced"];
/** Which details a step may change; all others stay as the step before left them. */
const CHANGES = { round_committed: ["commitments"], round_entropy: ["entropy"],
  round_drawn: ["seed_commitment", "drawn_count", "draw_sql_sha256"], round_topped_up: ["top_ups"],
  round_assigned: ["waves", "wave_roots", "unassigned_units"], round_inspector_replaced: ["replacements"],
  round_closed: [], round_aborted: ["aborted_from"] };
const EMPTY = { commitments: [], entropy: null, seed_commitment: null, drawn_count: null, top_ups: 0, waves: 0, wave_roots: [],
  replacements: 0, unassigned_units: [], aborted_from: null, draw_sql_sha256: null };
const count = (event, until = steps.length) => steps.slice(0, until).filter((step) => step.event === event).length;
let state = null;
steps.forEach((step, i) => {
  const where = `log.jsonl line ${step.seq} (${step.event})`;
  const { details } = step;
  const before = steps[i - 1];
  const previousState = state;
  if (i < 4 && step.event !== "round_aborted") must(step.event === ORDER[i], `${where}: ${ORDER[i]} should stand here`);
  else must([...AFTER, "round_closed", "round_aborted"].includes(step.event), `${where}: out of order`);
  if (before) must(!["CLOSED", "ABORTED"].includes(previousState), `${where}: a step after the end of the round`);
  else must(step.event === ORDER[0], `${where}: a round begins with its freeze`);
  if (["round_inspector_replaced", "round_closed"].includes(step.event)) must(previousState === "ASSIGNED", `${where}: nothing is assigned`);
  state = STATES[step.event] ?? state;
  must(details.round === round, `${where}: round`);
  must(details.state === state, `${where}: state is not ${state}`);
  must(details.step === i + 1, `${where}: step is not ${i + 1}`);
  must(details.last_event === step.event, `${where}: last_event is another`);
  if (before) must(dayOf(step.time) >= dayOf(before.time), `${where}: its day is before that of the step before`);
  for (const [key, value] of Object.entries(before ? before.details : EMPTY)) {
    if (["state", "step", "last_event", "files", ...(CHANGES[step.event] ?? [])].includes(key)) continue;
    must(key in details && same(details[key], value), `${where}: ${key} changed`);
  }
  for (const [name, digest] of Object.entries(before?.details.files ?? {}))
    must(details.files[name] === digest, `${where}: the digest of ${name} changed`);
  must(details.top_ups === count("round_topped_up", i + 1), `${where}: top_ups is not the number of top-ups`);
  must(details.waves === count("round_assigned", i + 1), `${where}: waves is not the number of assignments`);
  must(details.wave_roots.length === details.waves, `${where}: wave_roots does not hold a root per wave`);
  for (const [w, root] of (before?.details.wave_roots ?? []).entries())
    must(details.wave_roots[w] === root, `${where}: the root of wave ${w + 1} changed`);
  must(details.replacements === count("round_inspector_replaced", i + 1), `${where}: replacements is not their number`);
  must(details.aborted_from === (state === "ABORTED" ? previousState : null), `${where}: aborted_from`);
});
must(manifest.state === state, `bundle.json: the state is ${manifest.state}, the log ends with ${state}`);
const facts = lastStep.details;
const stepOf = (event) => steps.find((step) => step.event === event);
const has = (event) => stepOf(event) !== undefined;
const logged = (name, statement, step) =>
  must(step?.details.files[name] === sha(`${canonical(statement)}\n`), `${name}: the log holds another digest`);
const ours = (x, format, where) =>
  must(x.format === format && x.plan_id === planId && x.round === round, `${where}: not ${format} of this plan and round`);

// ---- §4, §5 rule and freeze
const rule = json("plan.json");
ours(rule, "RULE1", "plan.json");
must(rule.algorithm === "DRAW1", "plan.json: another algorithm");
must(rule.inspectors_per_visit >= 2 && rule.rounds_per_year >= 1, "plan.json: inspectors_per_visit or rounds_per_year");
must(rule.parties.length > 0 && new Set(rule.parties.map((p) => p.party)).size === rule.parties.length, "plan.json: parties");
must(new Set(rule.parties.map((p) => p.signing_key)).size === rule.parties.length, "plan.json: two parties have one key");
must(["KL8", "SSQ", "DLT", "NONE"].includes(rule.entropy.source), "plan.json: entropy source");
must(rule.entropy.source === "NONE" || rule.entropy.lag_days >= 1, "plan.json: lag_days is below 1");
for (const { party } of rule.parties) must(/^[a-z][a-z0-9_]{0,31}$/.test(party), `plan.json: party ${party}`);
must(new Set(rule.items.map((item) => item.item_code)).size === rule.items.length, "plan.json: an item stands there twice");
const items = new Map(rule.items.map((item) => [item.item_code, item]));
const isOrdered = (row) =>
  (rule.superior_tasks ?? []).some((t) => ["*", row.unit_id].includes(t.unit_id) && ["*", row.item_code].includes(t.item_code));
const freeze = json("freeze.json");
ours(freeze, "FREEZE1", "freeze.json");
holds(freeze, "format plan_id round frozen_date frame_root frame_size eligible_count unit_sizes quotas_root roster_root rule_sha256", "freeze.json");
must(isDay(freeze.frozen_date), "freeze.json: frozen_date");
must(freeze.rule_sha256 === sha(canonical(rule)), "plan.json is not the rule that was frozen");
const freezeRoot = sha(`FREEZE1|${canonical(freeze)}`);
must(facts.freeze_root === freezeRoot, "freeze.json is not what the log froze (freeze_root)");
for (const key of ["frozen_date", "frame_root", "frame_size", "eligible_count", "unit_sizes"])
  must(same(facts[key], freeze[key]), `freeze.json: ${key} is not that of the log`);
for (const unit of Object.keys(freeze.unit_sizes))
  must(["*", unit].includes(rule.initiator), `freeze.json: unit ${unit} draws, though ${rule.initiator} is the initiator`);
logged("rule.json", rule, steps[0]);
logged("freeze.json", freeze, steps[0]);

// ---- §6 commitments
const commitments = json("commitments.json");
const committed = stepOf("round_committed");
must(same(commitments.map((c) => c.party), committed ? rule.parties.map((p) => p.party) : []), "commitments.json: not the parties of the rule");
commitments.forEach((c, i) => {
  const where = `commitments.json, ${c.party}`;
  ours(c, "COMMITMENT1", where);
  holds(c, "format plan_id round party freeze_root commitment escrow_sha256 time signature", where);
  must(c.freeze_root === freezeRoot, `${where} signed another freeze`);
  must(HEX64.test(c.commitment), `${where}: commitment`);
  must(rule.parties.length > 1 ? HEX64.test(c.escrow_sha256) : c.escrow_sha256 === "", `${where}: escrow_sha256`);
  must(signed(rule.parties[i].signing_key, `COMMITMENT1|${canonical(without(c, "signature"))}`, c.signature), `${where}: false signature`);
  must(dayOf(c.time) >= dayOf(steps[0].time) && dayOf(c.time) <= dayOf(committed.time), `${where}: not between freeze and commitment`);
  logged(`commitment-${c.party}.json`, c, committed);
  if (c.escrow_sha256) must(committed.details.files[`escrow-${c.party}.age`] === c.escrow_sha256, `${where}: another escrow file stands in the log`);
});
must(same(facts.commitments, commitments.map((c) => [c.party, c.commitment])), "commitments.json: the log holds others");

// ---- §7 entropy
const entropy = json("entropy.json");
const mixed = stepOf("round_entropy");
const FORMAT = { KL8: [[20, 80]], SSQ: [[6, 33], [1, 16]], DLT: [[5, 35], [2, 12]] };
if (mixed) {
  ours(entropy, "ENTROPY1", "entropy.json");
  holds(entropy, "format plan_id round announcements entropy", "entropy.json");
  const { source, fallback, lag_days: lag, fallback_after_days: wait } = rule.entropy;
  const sources = entropy.announcements.map((a) => a.source);
  if (source === "NONE") must(sources.length === 0, "entropy.json: the rule names no source");
  else {
    const earliest = addDays(dayOf(committed.time), lag);
    const latest = addDays(earliest, wait);
    const today = dayOf(mixed.time);
    must(sources.length > 0, "entropy.json: no announcement");
    if (same(sources, fallback) && !same(sources, [source])) must(today >= latest, "entropy.json: too early for the fallback");
    else must(same(sources, [source]), "entropy.json: not the source of the rule");
    for (const a of entropy.announcements) {
      const where = `entropy.json, ${a.source}`;
      holds(a, "source issue announced_date numbers", where);
      must(isDay(a.announced_date) && a.announced_date >= earliest, `${where}: announced before the commitments may be used`);
      must(a.announced_date <= today && a.announced_date <= latest, `${where}: announced too late`);
      must(/^[0-9]{5,8}$/.test(a.issue), `${where}: issue`);
      const year = { 7: a.announced_date.slice(0, 4), 5: a.announced_date.slice(2, 4) }[a.issue.length] ?? "";
      must(a.issue.startsWith(year), `${where}: the issue is of another year`);
      const parts = a.numbers.split("+").map((part) => part.split("."));
      must(parts.length === FORMAT[a.source].length, `${where}: numbers`);
      parts.forEach((part, i) => {
        const [size, top] = FORMAT[a.source][i];
        const isNumber = (n, j) => /^[0-9]{2}$/.test(n) && n >= "01" && Number(n) <= top && (j === 0 || part[j - 1] < n);
        must(part.length === size && part.every(isNumber), `${where}: numbers`);
      });
    }
  }
  const joined = entropy.announcements.map((a) => `${a.source}:${a.issue}:${a.numbers}`).join(";") || "NONE";
  must(entropy.entropy === joined && facts.entropy === joined, "entropy.json: not the text of its announcements, or not that of the log");
  logged("entropy.json", entropy, mixed);
} else must(same(entropy, {}) && facts.entropy === null, "entropy.json stands before its step");

// ---- §3, §12 abort
const abort = json("abort.json");
if (has("round_aborted")) {
  ours(abort, "ABORT1", "abort.json");
  must(abort.reason.trim() !== "", "abort.json: no reason");
  must(abort.aborted_from === facts.aborted_from, "abort.json: aborted_from is not that of the log");
  must(people(abort.approvers) >= (mixed ? 3 : 1), "abort.json: too few approvers");
  logged("abort.json", abort, lastStep);
} else must(same(abort, {}), "abort.json stands without an abort");

// ---- §8 seed, public part
const drawn = stepOf("round_drawn");
const seedFile = json("seed.json");
must(drawn ? HEX64.test(seedFile.seed_commitment) : same(seedFile, {}), "seed.json");
must(facts.seed_commitment === (seedFile.seed_commitment ?? null), "seed.json: the log holds another seed_commitment");
must(facts.draw_sql_sha256 === (drawn ? rule.draw_sql_sha256 : null), "the log names another draw_sql_sha256 than the rule");
must(full || !("seed" in seedFile), "seed.json: a public bundle may not hold the seed");

// ---- §5 trees, frame, quotas, roster
function merkle(hashes) {
  if (hashes.length === 0) return createHash("sha256").digest();
  if (hashes.length === 1) return hashes[0];
  let left = 1;
  while (left * 2 < hashes.length) left *= 2;
  const [a, b] = [merkle(hashes.slice(0, left)), merkle(hashes.slice(left))];
  return createHash("sha256").update(Buffer.concat([Buffer.from([1]), a, b])).digest();
}
function root(...lists) {
  const hashes = lists.flatMap(([tag, rows, columns]) =>
    rows.map((row) =>
      createHash("sha256").update(Buffer.concat([Buffer.from([0]), Buffer.from(row.salt, "hex")])).update(line(tag, row, columns)).digest()));
  return merkle(hashes).toString("hex");
}
function table(name, header, ...keys) {
  const rows = csv(name, header);
  const order = byAll(...keys.map((key) => (row) => row[key]));
  for (let i = 1; i < rows.length; i++) must(order(rows[i - 1], rows[i]) < 0, `${name} row ${i + 2}: out of order or twice`);
  return rows;
}
let frame, quotas, eligible, roster, recusals;
function frozenTables() {
  const columns = {
    frame: "unit_id,item_code,uscc,platform_grade,region,is_safety_related,excluded_reason",
    quotas: "unit_id,item_code,platform_grade,stratum_size,drawn_before,ratio_bp,rounds_due,rounds_per_year,rounding,target,quota",
    roster: "unit_id,inspector_id,is_leader,region_prefix,skills,excluded_reason",
    recusals: "inspector_id,uscc,reason",
  };
  frame = table("frame.csv", `${columns.frame},salt`, "unit_id", "item_code", "uscc");
  quotas = table("quotas.csv", `${columns.quotas},salt`, "unit_id", "item_code", "platform_grade");
  roster = table("roster.csv", `wave,${columns.roster},salt`, "wave", "unit_id", "inspector_id");
  recusals = table("recusals.csv", `wave,${columns.recusals},salt`, "wave", "inspector_id", "uscc");
  const rosterRoot = (wave) =>
    root(["ROSTER1", roster.filter((r) => r.wave === wave), columns.roster.split(",")],
      ["RECUSAL1", recusals.filter((r) => r.wave === wave), columns.recusals.split(",")]);
  must(root(["FRAME1", frame, columns.frame.split(",")]) === freeze.frame_root, "frame.csv is not what was frozen (frame_root)");
  must(root(["QUOTA1", quotas, columns.quotas.split(",")]) === freeze.quotas_root, "quotas.csv is not what was frozen (quotas_root)");
  must(rosterRoot(0) === freeze.roster_root, "roster.csv or recusals.csv is not what was frozen (roster_root)");
  for (const row of roster) must(row.skills === row.skills.split("+").sort(byText).join("+"), `roster.csv: skills of ${row.inspector_id}`);

  // the rules of the frame
  eligible = frame.filter((row) => row.excluded_reason === "");
  must(freeze.frame_size === frame.length && freeze.eligible_count === eligible.length, "freeze.json: frame_size or eligible_count");
  const sizes = {};
  const enterprises = new Map();
  frame.forEach((row, i) => {
    sizes[row.unit_id] = (sizes[row.unit_id] ?? 0) + 1;
    const where = `frame.csv row ${i + 2}`;
    const item = items.get(row.item_code);
    must(item, `${where}: the rule has no item ${row.item_code}`);
    const isSafety = item.is_safety_related && row.is_safety_related === "1";
    must(row.platform_grade !== "A" || row.excluded_reason !== "" || isSafety || isOrdered(row), `${where}: grade A may not be drawn here`);
    const facts = [row.platform_grade, row.region, row.is_safety_related];
    must(same(enterprises.get(row.uscc) ?? facts, facts), `${where}: the enterprise has other facts in another row`);
    enterprises.set(row.uscc, facts);
  });
  must(same(sizes, freeze.unit_sizes), "freeze.json: unit_sizes");

  // quotas
  const strata = new Map();
  const cellOf = (row) => `${row.unit_id}|${row.item_code}|${row.platform_grade}`;
  for (const row of eligible) strata.set(cellOf(row), (strata.get(cellOf(row)) ?? 0) + 1);
  quotas.forEach((row, i) => {
    const where = `quotas.csv row ${i + 2}`;
    must(items.has(row.item_code), `${where}: the rule has no item ${row.item_code}`);
    must(["*", row.unit_id].includes(rule.initiator), `${where}: ${row.unit_id} is not the initiator`);
    must(row.stratum_size === (strata.get(cellOf(row)) ?? 0), `${where}: stratum_size is not the number of eligible rows`);
    strata.delete(cellOf(row));
    must(row.rounds_per_year === rule.rounds_per_year, `${where}: rounds_per_year is not that of the rule`);
    must(row.ratio_bp <= 10000, `${where}: ratio_bp is above 10000`);
    must(row.rounds_due >= 1 && row.rounds_due <= row.rounds_per_year, `${where}: rounds_due`);
    const p = BigInt(row.stratum_size + row.drawn_before) * BigInt(row.ratio_bp) * BigInt(row.rounds_due);
    const q = 10000n * BigInt(row.rounds_per_year);
    const target = Number({ ceil: (p + q - 1n) / q, half_up: (p + q / 2n) / q, floor: p / q }[row.rounding]);
    must(row.target === target, `${where}: target is not ${target}`);
    const quota = Math.min(Math.max(target - row.drawn_before, 0), row.stratum_size);
    must(row.quota === quota, `${where}: quota is not ${quota}`);
    const before = quotas[i - 1];
    if (before?.unit_id === row.unit_id && before.item_code === row.item_code)
      must(row.ratio_bp >= before.ratio_bp, `${where}: a worse grade has a lower ratio`);
    if (row.platform_grade === "A" && !items.get(row.item_code).is_safety_related && !isOrdered(row)) must(row.ratio_bp === 0, `${where}: A has a ratio`);
  });
  must(strata.size === 0, `quotas.csv: no quota for ${[...strata.keys()][0]}`);
  return rosterRoot;
}

// ---- §8 seed
function checkReveals() {
  const reveals = json("reveals.json");
  const parties = drawn ? rule.parties : [];
  must(same(reveals.map((r) => r.party), parties.map((p) => p.party)), "reveals.json: not the parties of the rule");
  reveals.forEach((r, i) => {
    const where = `reveals.json, ${r.party}`;
    ours(r, "REVEAL1", where);
    holds(r, "format plan_id round party freeze_root entropy reveal signed_by signature", where);
    must(r.freeze_root === freezeRoot, `${where}: revealed for another freeze`);
    must(r.entropy === entropy.entropy, `${where}: revealed for another entropy`);
    const signer = parties.find((p) => p.party === r.signed_by);
    must(signer, `${where}: signed by no party`);
    must(signed(signer.signing_key, `REVEAL1|${canonical(without(r, "signature"))}`, r.signature), `${where}: false signature`);
    must(HEX64.test(r.reveal), `${where}: reveal`);
    const opened = sha(`COMMIT1|${planId}|${round}|${r.party}|${r.reveal}`);
    must(opened === commitments[i].commitment, `${where} revealed another number than committed`);
  });
  const signers = new Set(reveals.map((r) => r.signed_by)).size;
  must(parties.length < 3 || signers >= 2, "reveals.json: one party signed for all");
  return reveals.map((r) => r.reveal);
}
function checkSeed() {
  const reveals = checkReveals();
  if (!drawn) return null;
  const key = createHash("sha256").update(reveals.join("|")).digest();
  const message = ["SEED1", planId, round, freezeRoot, commitments.map((c) => c.commitment).join(","), entropy.entropy].join("|");
  const seed = createHmac("sha256", key).update(message).digest("hex");
  must(seedFile.seed === seed, "seed.json: the seed does not follow from reveals, freeze and entropy");
  must(seedFile.seed_commitment === sha(`SEEDC1|${seed}`), "seed.json: seed_commitment is not that of the seed");
  return seed;
}

// ---- §9 draw
function checkDraw(seed) {
  const rows = csv("draw.csv", "unit_id,item_code,uscc,platform_grade,ticket,rank,stratum_size,quota,is_drawn");
  const tickets = eligible.map((row) => ({ ...row, ticket: sha(`DRAW1|${seed}|${row.unit_id}|${row.uscc}`) }));
  tickets.sort(byAll(...["unit_id", "item_code", "platform_grade", "ticket", "uscc"].map((key) => (row) => row[key])));
  const cells = new Map();
  for (const row of drawn ? tickets : []) {
    const key = canonical([row.unit_id, row.item_code, row.platform_grade]);
    if (!cells.has(key)) cells.set(key, { ...row, ranked: [], quota: 0, stratum_size: 0, added: 0 });
    cells.get(key).ranked.push(row);
  }
  const expected = [];
  for (const cell of cells.values()) {
    const of = (x) => x.unit_id === cell.unit_id && x.item_code === cell.item_code && x.platform_grade === cell.platform_grade;
    const { quota, stratum_size } = quotas.find(of);
    cell.quota = quota;
    cell.ranked.forEach((row, i) => expected.push({ unit_id: row.unit_id, item_code: row.item_code, uscc: row.uscc,
      platform_grade: row.platform_grade, ticket: row.ticket, rank: i + 1, stratum_size, quota, is_drawn: i < quota ? "1" : "0" }));
  }
  compare("draw.csv", rows, expected);
  must(facts.drawn_count === (drawn ? expected.filter((row) => row.is_drawn === "1").length : null), "draw.csv: drawn_count of the log");
  return [...cells.values()];
}
function compare(name, rows, expected) {
  expected.forEach((row, i) => {
    const wrong = Object.keys(row).find((key) => rows[i]?.[key] !== row[key]);
    must(wrong === undefined, `${name} row ${i + 2}: ${wrong} is not ${row[wrong]}`);
  });
  must(rows.length === expected.length, `${name}: ${rows.length} rows instead of ${expected.length}`);
}

// ---- §10 top-ups. replacedBy[i]: the state of the draw after i top-ups
function checkTopUps(cells) {
  const topUps = json("topups.json");
  const events = steps.filter((step) => step.event === "round_topped_up");
  must(topUps.length === events.length, "topups.json: the log holds another number of top-ups");
  const gone = new Set();
  const standing = () => ({
    gone: new Set(gone),
    taken: cells.flatMap((cell) => cell.ranked.slice(0, cell.quota + cell.added)),
  });
  const states = [standing()];
  topUps.forEach((t, i) => {
    const where = `topups.json, number ${i + 1}`;
    holds(t, "format number unit_id uscc reason event_id event_date approvers", where);
    must(t.format === "TOPUP1", `${where}: not TOPUP1`);
    must(t.number === i + 1, `${where}: number`);
    must(rule.topup_reasons.includes(t.reason), `${where}: reason is not in the rule`);
    must(t.event_id.trim() !== "", `${where}: no event of the register`);
    must(isDay(t.event_date) && t.event_date > freeze.frozen_date, `${where}: the event is not after the freeze`);
    must(t.approvers.length === 2 && people(t.approvers) === 2, `${where}: two different approvers are needed`);
    const mine = cells.filter((cell) => cell.unit_id === t.unit_id &&
      cell.ranked.slice(0, cell.quota + cell.added).some((row) => row.uscc === t.uscc));
    must(mine.length > 0, `${where}: the enterprise is not drawn`);
    must(!gone.has(`${t.unit_id}|${t.uscc}`), `${where}: the enterprise was replaced before`);
    gone.add(`${t.unit_id}|${t.uscc}`);
    for (const cell of mine) if (cell.quota + cell.added < cell.ranked.length) cell.added++;
    states.push(standing());
    logged(`topup-${String(i + 1).padStart(3, "0")}.json`, t, events[i]);
  });
  return states;
}

// ---- §11 assignment
const ceil = (a, b) => Math.ceil(a / b);
/** Maximum flow of the places still open. Returns {full, reached}: are all filled; inspectors that can be reached from open places. */
function flow(visits, room, leaders) {
  const isLeader = (id) => leaders.has(id);
  const used = new Map([...room.keys()].map((id) => [id, 0]));
  const team = visits.map(() => new Set());
  const others = visits.map(() => 0); // places at the gate in use
  const search = (start) => {
    // breadth first over visits ("v", and "g" behind its gate) and inspectors; stops at one with room left
    const from = new Map([[`v${start}`, null]]);
    const queue = [["v", start]];
    const seen = new Set();
    for (let at = 0; at < queue.length; at++) {
      const [kind, x] = queue[at];
      const push = (k, y) => {
        if (from.has(k + y)) return;
        from.set(k + y, [kind, x]);
        queue.push([k, y]);
      };
      if (kind === "i") {
        seen.add(x);
        if (used.get(x) < room.get(x)) return { from, end: x, seen };
        team.forEach((members, v) => members.has(x) && push(isLeader(x) ? "v" : "g", v));
      } else {
        const visit = visits[x];
        if (kind === "v") {
          for (const id of visit.free) if (isLeader(id) && !team[x].has(id)) push("i", id);
          if (others[x] < visit.gate) push("g", x);
        } else {
          for (const id of visit.free) if (!isLeader(id) && !team[x].has(id)) push("i", id);
          if (others[x] > 0) push("v", x);
        }
      }
    }
    return { seen };
  };
  const reached = new Set();
  let isFull = true;
  visits.forEach((visit, v) => {
    for (let place = 0; place < visit.places; place++) {
      const { from, end } = search(v);
      if (!end) {
        isFull = false;
        break;
      }
      used.set(end, used.get(end) + 1);
      for (let node = ["i", end]; node; ) {
        const previous = from.get(node.join(""));
        if (previous) {
          const [a, x] = previous;
          const [b, y] = node;
          if (b === "i") team[x].add(y);
          else if (a === "i") team[y].delete(x);
          else others[x] += b === "g" ? 1 : -1;
        }
        node = previous;
      }
    }
  });
  if (!isFull) visits.forEach((visit, v) => team[v].size < visit.places && search(v).seen.forEach((id) => reached.add(id)));
  return { full: isFull, reached };
}
const skillsOf = (row) => items.get(row.item_code).required_skill.split("+").filter(Boolean);
function checkAssignments(seed, cells, states, rosterRoot) {
  const events = steps.filter((step) => step.event === "round_assigned");
  const k = rule.inspectors_per_visit;
  const expected = [];
  const visited = new Map(); // "unit|draw unit|uscc" -> {team, wave, skills, ...}
  const ownRosters = new Set([0]);
  events.forEach(({ details }, i) => {
    const wave = i + 1;
    const where = `wave ${wave} of the assignment`;
    let of = 0;
    if (details.wave_roots[i] !== freeze.roster_root) {
      of = wave;
      ownRosters.add(wave);
      must(rosterRoot(wave) === details.wave_roots[i], `${where}: roster.csv or recusals.csv is not what the log holds`);
      must(wave > 1 || !roster.some((r) => r.wave === 0 && r.excluded_reason === ""), `${where} does not use the frozen roster`);
    }
    const refused = new Set(recusals.filter((r) => r.wave === of).map((r) => `${r.inspector_id}|${r.uscc}`));
    const { taken, gone } = states[details.top_ups];
    const open = new Map();
    for (const row of taken) {
      if (gone.has(`${row.unit_id}|${row.uscc}`)) continue;
      const going = rule.initiator === "*" ? [row.unit_id] : [row.unit_id, ...rule.cooperating_units];
      for (const unit of going) {
        const key = `${unit}|${row.unit_id}|${row.uscc}`;
        if (visited.has(key)) continue;
        if (!open.has(key)) open.set(key, { key, wave, unit, draw: row.unit_id, uscc: row.uscc, region: row.region, skills: new Set() });
        for (const skill of skillsOf(row)) open.get(key).skills.add(skill);
      }
    }
    const impossible = [];
    for (const unit of [...new Set([...open.values()].map((visit) => visit.unit))].sort(byText)) {
      const staff = roster.filter((r) => r.wave === of && r.unit_id === unit && r.excluded_reason === "");
      const earlier = [...visited.values()].filter((visit) => visit.unit === unit);
      const visits = [...open.values()].filter((visit) => visit.unit === unit);
      const teams = assign(visits, staff, refused, earlier, k, seed);
      if (teams === null) impossible.push(unit);
      else visits.forEach((visit) => visited.set(visit.key, visit));
    }
    must(same(details.unassigned_units, impossible), `${where}: unassigned_units is not [${impossible}]`);
  });
  for (const row of [...roster, ...recusals]) must(ownRosters.has(row.wave), `roster.csv or recusals.csv: no wave ${row.wave} with its own roster`);
  for (const visit of visited.values())
    visit.places_.forEach((place, i) => expected.push({ wave: visit.wave, unit_id: visit.unit, draw_unit_id: visit.draw,
      uscc: visit.uscc, inspector_id: place.id, role: place.role, position: i + 1, eligible_count: visit.candidates.length,
      rank_taken: visit.candidates.findIndex((c) => c.inspector_id === place.id) + 1, skipped: place.skipped.join(";") }));
  expected.sort(byAll(...["wave", "draw_unit_id", "unit_id", "uscc", "position"].map((key) => (row) => row[key])));
  const header = "wave,unit_id,draw_unit_id,uscc,inspector_id,role,position,eligible_count,rank_taken,skipped";
  compare("assignments.csv", csv("assignments.csv", header), expected);
  checkReplacements(visited, states);
}
function assign(visits, staff, refused, earlier, k, seed) {
  const [n, m] = [visits.length, staff.length];
  if (m < k) return null;
  const leaders = new Set(staff.filter((r) => r.is_leader === "1").map((r) => r.inspector_id));
  for (const visit of visits) {
    visit.candidates = staff.filter((r) => !refused.has(`${r.inspector_id}|${visit.uscc}`) &&
      (visit.region === "" || visit.region.startsWith(r.region_prefix)) &&
      [...visit.skills].every((skill) => r.skills.split("+").includes(skill)))
      .map((r) => ({ ...r, order: sha(`ASSIGN1|${seed}|${visit.uscc}|${r.inspector_id}`) }))
      .sort(byAll((r) => r.order, (r) => r.inspector_id));
    visit.firm = sha(`FIRM1|${seed}|${visit.unit}|${visit.uscc}`);
    visit.free = new Set(visit.candidates.map((r) => r.inspector_id));
    visit.places = k;
    visit.gate = leaders.size ? k - 1 : k;
    visit.places_ = [];
  }
  const load = new Map(staff.map((r) => [r.inspector_id, 0]));
  const pairs = new Map();
  const pair = (a, b) => [a, b].sort(byText).join("|");
  const countPairs = (ids) => ids.forEach((a, i) => ids.slice(0, i).forEach((b) => pairs.set(pair(a, b), (pairs.get(pair(a, b)) ?? 0) + 1)));
  for (const visit of earlier) {
    const ids = visit.places_.map((place) => place.id);
    countPairs(ids);
    for (const id of ids) if (load.has(id)) load.set(id, load.get(id) + 1);
  }
  const sum = (ids) => ids.reduce((total, id) => total + load.get(id), 0);
  const ids = staff.map((r) => r.inspector_id);
  const forAll = ceil(k * n + sum(ids), m);
  const forLeaders = leaders.size ? ceil(n + sum([...leaders]), leaders.size) : 0;
  const level = new Map(ids.map((id) => [id, leaders.has(id) ? Math.max(forAll, forLeaders) : forAll]));
  const rooms = () => new Map(ids.map((id) => [id, Math.max(0, level.get(id) - load.get(id))]));
  for (;;) {
    const { full: isFull, reached } = flow(visits, rooms(), leaders);
    if (isFull) break;
    if (reached.size === 0) return null;
    for (const id of reached) level.set(id, level.get(id) + 1);
  }
  for (const id of ids) level.set(id, level.get(id) + 1);
  const room = rooms();
  const limit = ceil((n + earlier.length) * ((k * (k - 1)) / 2), (m * (m - 1)) / 2) + 1;
  visits.sort(byAll((visit) => visit.firm, (visit) => visit.uscc));
  for (const visit of visits) {
    const team = visit.places_;
    let skipped = [];
    const why = (id, isFirstPass) => {
      if (isFirstPass && team.some((place) => (pairs.get(pair(place.id, id)) ?? 0) >= limit)) return "paired_often";
      if (room.get(id) === 0) return "at_capacity";
      const needsLeader = leaders.size > 0 && !team.some((place) => leaders.has(place.id));
      if (needsLeader && !leaders.has(id) && visit.places === 1) return "needs_leader";
      take(id, 1);
      const isPossible = flow(visits, room, leaders).full;
      take(id, -1);
      return isPossible ? null : "reserved";
    };
    const take = (id, by) => {
      room.set(id, room.get(id) - by);
      visit.places -= by;
      if (!leaders.has(id)) visit.gate -= by;
      if (by > 0) visit.free.delete(id);
      else visit.free.add(id);
    };
    let again = [];
    for (const isFirstPass of [true, false]) {
      for (const id of isFirstPass ? visit.candidates.map((r) => r.inspector_id) : again) {
        if (visit.places === 0) break;
        const reason = why(id, isFirstPass);
        if (reason) {
          skipped.push(`${id}:${reason}`);
          if (reason === "paired_often") again.push(id);
          continue;
        }
        take(id, 1);
        const isFirstLeader = leaders.has(id) && !team.some((place) => place.role === "leader");
        team.push({ id, role: isFirstLeader ? "leader" : "member", skipped });
        skipped = [];
      }
    }
    must(visit.places === 0, `the assignment of ${visit.unit} cannot be followed: a place stays open`);
    countPairs(team.map((place) => place.id));
  }
  return visits;
}
function checkReplacements(visited, states) {
  const list = json("replacements.json");
  const events = steps.filter((step) => step.event === "round_inspector_replaced");
  must(list.length === events.length, "replacements.json: the log holds another number of replacements");
  for (const visit of visited.values()) visit.team = visit.places_.map(({ id, role }) => ({ id, role }));
  list.forEach((r, i) => {
    const where = `replacements.json, number ${i + 1}`;
    holds(r, "format number unit_id uscc inspector_id reason declared_date approvers replaced_by", where);
    must(r.format === "REPLACED1", `${where}: not REPLACED1`);
    must(r.number === i + 1, `${where}: number`);
    must(isDay(r.declared_date) && r.reason.trim() !== "" && people(r.approvers) >= 1, `${where}: declared_date, reason or approvers`);
    const { waves, top_ups: topUps } = events[i].details;
    const visit = [...visited.values()].find((v) => v.unit === r.unit_id && v.uscc === r.uscc && v.wave <= waves);
    const place = visit?.team.find(({ id }) => id === r.inspector_id);
    must(place, `${where}: the inspector is not in the team`);
    visit.left = [...(visit.left ?? []), r.inspector_id];
    const skills = states[topUps].taken.filter((row) => row.unit_id === visit.draw && row.uscc === visit.uscc).flatMap(skillsOf);
    const able = visit.candidates.filter((c) => skills.every((skill) => c.skills.split("+").includes(skill)) && !visit.left.includes(c.inspector_id) && !visit.team.some(({ id }) => id === c.inspector_id));
    const next = (place.role === "leader" && able.find((c) => c.is_leader === "1")) || able[0];
    must(next?.inspector_id === r.replaced_by, `${where}: the next in order is ${next?.inspector_id ?? "nobody"}`);
    place.id = r.replaced_by;
    logged(`replaced-${String(i + 1).padStart(3, "0")}.json`, r, events[i]);
  });
}

// ---- all of it
if (full) {
  const rosterRoot = frozenTables();
  const seed = checkSeed();
  const cells = checkDraw(seed);
  checkAssignments(seed, cells, checkTopUps(cells), rosterRoot);
}
console.log(`honest: ${planId} round ${round}, ${manifest.form}, ${state}; office key ${office}`);
