// The chat page. What others wrote reaches the page through `textContent` alone, so it can never become markup.
"use strict";

const chat = document.getElementById("chat");
const log = document.getElementById("log");
const compose = document.getElementById("compose");
const note = document.getElementById("note");
const input = document.getElementById("text");
const send = compose.querySelector("button");
const csrfToken = document.querySelector("[name=csrfmiddlewaretoken]").value;
const { room, userId, tokenUrl } = chat.dataset;

const FIRST_DELAY = 500; // milliseconds; doubles with each failure
const LONGEST_DELAY = 15000;
const KEPT = 500; // entries of the log
const POLICY_VIOLATION = 1008; // the server will not have us: coming back would not help
const IDLE = 4408; // nobody is here: come back when somebody is

let socket = null;
let failures = 0;
let retry = null;

// ---- the connection

async function connect() {
  clearTimeout(retry);
  showState("connecting", "Connecting…");
  let token;
  try {
    token = await fetchToken();
  } catch (error) {
    reconnect(`Closed (${error.message})`);
    return;
  }
  socket = openSocket(`/ws/room/${encodeURIComponent(room)}?token=${encodeURIComponent(token)}`);
  socket.onopen = () => {
    failures = 0;
    showState("open", "Connected");
  };
  socket.onmessage = (event) => receive(JSON.parse(event.data));
  socket.onclose = (event) => {
    socket = null;
    showCount(null);
    const why = `Closed (${event.code}${event.reason ? `: ${event.reason}` : ""})`;
    if (event.code === POLICY_VIOLATION) showState("closed", why);
    else if (event.code === IDLE) showState("idle", why);
    else reconnect(why);
  };
}

function openSocket(path) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(`${scheme}//${location.host}${path}`);
}

// A token lives for a minute and opens the connection only, so each attempt fetches its own.
async function fetchToken() {
  const response = await fetch(tokenUrl, {
    method: "POST",
    headers: { "X-CSRFToken": csrfToken },
    signal: AbortSignal.timeout(10000),
  });
  if (response.status === 401) {
    location.reload(); // logged out elsewhere: the server shows the login page, which leads back here
    throw new Error("logged out");
  }
  if (response.status === 403) throw new Error("this page is outdated, reload it"); // logged in anew in another tab
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return (await response.json()).token;
}

function reconnect(why) {
  const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** failures);
  const delay = longest * (0.5 + Math.random() / 2); // so that all tabs do not come back at the same moment
  failures += 1;
  showState("closed", `${why}, trying again…`);
  retry = setTimeout(connect, delay);
}

addEventListener("online", () => {
  if (chat.dataset.state === "closed") connect();
});

for (const sign of ["focus", "pointerdown", "keydown"]) {
  addEventListener(sign, () => {
    if (chat.dataset.state === "idle") connect();
  });
}

// What the server says of itself. The session's cookie goes along, so this one needs no token.
function watch() {
  const status = openSocket("/ws/status");
  status.onmessage = (event) => showStatus(JSON.parse(event.data));
  status.onclose = () => {
    showStatus(null);
    setTimeout(watch, LONGEST_DELAY * (0.5 + Math.random() / 2));
  };
}

// ---- frames

function receive(frame) {
  switch (frame.type) {
    case "message":
      showMessage(frame);
      break;
    case "joined":
    case "left":
      showCount(frame.here);
      showNews(`${frame.name} ${frame.type}`);
      break;
    case "note":
      showNews(`${frame.name}${frame.private ? ", to you alone" : ""}: ${frame.text}`, "news note-shown");
      break;
    case "gap":
      showCount(frame.here);
      showNews("Some messages may be missing here");
      break;
    case "error":
      showProblem(frame.detail);
      break;
  }
}

// ---- the page

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text ?? "";
  return made;
}

function avatar(name) {
  const made = element("span", "avatar", [...name][0].toUpperCase());
  const hue = [...name].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 360, 7);
  made.style.setProperty("--hue", hue);
  made.setAttribute("aria-hidden", "true");
  return made;
}

function showState(state, text) {
  chat.dataset.state = state;
  send.disabled = state !== "open";
  const shown = document.getElementById("state");
  shown.dataset.state = state;
  shown.textContent = text;
}

function showCount(here) {
  document.getElementById("count").textContent = here === null ? "" : counted(here, "connection");
}

function showStatus(figures) {
  const text = figures && `${figures.here} in all rooms, ${counted(figures.messages, "message")}`;
  document.getElementById("status").textContent = text ?? "";
}

function counted(number, noun) {
  return number === 1 ? `1 ${noun}` : `${number} ${noun}s`;
}

function showMessage({ user_id, name, text, at }) {
  const own = user_id === userId;
  const entry = element("li", own ? "message own" : "message");
  const previous = log.lastElementChild;
  if (previous?.dataset.userId === user_id) entry.classList.add("continued");
  entry.dataset.userId = user_id;
  const time = element("time", "time", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = at;
  const head = element("p", "head");
  head.append(element("span", "name", own ? "You" : name), time);
  const body = element("div", "body");
  body.append(head, element("p", "text", text));
  entry.append(avatar(name), body);
  append(entry);
}

function showNews(text, className = "news") {
  append(element("li", className, text));
}

function append(entry) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80; // who scrolled up is reading: stay there
  log.append(entry);
  while (log.childElementCount > KEPT) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function showProblem(text) {
  const problem = document.getElementById("problem");
  problem.textContent = text;
  problem.hidden = !text;
}

function fitInput() {
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight + input.offsetHeight - input.clientHeight}px`;
}

// ---- writing

compose.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value.trim();
  if (!text || socket?.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ text }));
  input.value = "";
  showProblem("");
  fitInput();
});

// The view sends it to the room, so it comes back through the socket like everybody's.
note.addEventListener("submit", async (event) => {
  event.preventDefault();
  let problem = "The note was not sent";
  try {
    const response = await fetch(note.action, {
      method: "POST",
      body: new FormData(note),
      signal: AbortSignal.timeout(10000),
    });
    if (response.status === 204) {
      problem = "";
      note.elements.text.value = "";
    }
  } catch (error) {
    problem += ` (${error.message})`;
  }
  showProblem(problem);
});

input.addEventListener("input", fitInput);

input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  compose.requestSubmit(send.disabled ? null : send);
});

connect();
watch();
