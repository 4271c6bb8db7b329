/** Names, flags and help of every command. Data only; docs/reference/cli.md is generated from it. */
import type { CommandSpec, FlagSpec } from './command.ts'

const CONFIG: FlagSpec = {
  name: 'config',
  short: 'c',
  value: 'FILE|DIR',
  env: 'HEDDLE_CONFIG',
  help: 'Configuration file, or folder of *.yaml files. Default: heddle.yaml here if there is one, else the environment.',
}

const JSON_OUTPUT: FlagSpec = { name: 'json', help: 'Print JSON for programs instead of text for people.' }

const serve: CommandSpec = {
  name: 'serve',
  args: '',
  maxArgs: 0,
  summary: 'Run the gateway. The default command.',
  details:
    'Without a configuration every provider whose API key is in the environment is on, and unknown models are answered ' +
    'by a simulated one. Flags win over environment variables, and these over the file.',
  flags: [
    CONFIG,
    { name: 'host', value: 'ADDRESS', env: 'HEDDLE_HOST', help: 'Address of the API. Default: 127.0.0.1.' },
    { name: 'port', short: 'p', value: 'PORT', env: 'PORT', help: 'Port of the API; 0 = any. Default: 8080.' },
    {
      name: 'admin-port',
      value: 'PORT',
      env: 'ADMIN_PORT',
      help: 'Port of health and metrics; 0 = any. Default: 8081.',
    },
    {
      name: 'workers',
      value: 'N|auto',
      env: 'HEDDLE_WORKERS',
      help: 'Threads that share the port; auto = one per core. Default: 1.',
    },
    {
      name: 'insecure',
      env: 'HEDDLE_INSECURE',
      help: 'Allow an address that others can reach, although clients are not authenticated.',
    },
  ],
  examples: [
    { command: 'heddle', help: 'Start with what the environment and ./heddle.yaml offer.' },
    { command: 'heddle serve -c gateway.yaml -p 4000', help: 'Start from a file on another port.' },
    { command: 'OPENAI_API_KEY=sk-... heddle', help: 'No file: OpenAI is on because its key is set.' },
    {
      command: 'heddle serve --host 0.0.0.0 --insecure',
      help: 'Reachable from elsewhere, behind something that decides who may call.',
    },
  ],
}

const check: CommandSpec = {
  name: 'check',
  args: '[FILE|DIR]',
  maxArgs: 1,
  summary: 'Check a configuration without starting anything.',
  details:
    'Prints every problem as `file:line:column path: message`, or a summary of what the configuration turns on. Opens ' +
    'no connection. Variables and files named by `${...}` must be there.',
  flags: [
    CONFIG,
    { name: 'print', help: 'Also print the whole normalised configuration as JSON, secrets masked.' },
    JSON_OUTPUT,
  ],
  examples: [
    { command: 'heddle check', help: 'Check ./heddle.yaml, or the environment when there is none.' },
    { command: 'heddle check config/', help: 'Check a folder of files as one configuration.' },
    { command: 'heddle check --json gateway.yaml', help: 'For CI: `{ "ok": false, "problems": [...] }`.' },
  ],
}

const schema: CommandSpec = {
  name: 'schema',
  args: '',
  maxArgs: 0,
  summary: 'Print the JSON Schema of the configuration.',
  details: 'Draft 2020-12, for editors and other checkers. The same file is config/schema.json of the release.',
  flags: [],
  examples: [{ command: 'heddle schema > heddle.schema.json', help: 'Save it for an editor.' }],
}

const explain: CommandSpec = {
  name: 'explain',
  args: 'REQUEST.json',
  maxArgs: 1,
  summary: 'Show what would happen to a request, without sending it.',
  details: 'The file holds a request body as a client would send it; `-` reads standard input.',
  flags: [
    CONFIG,
    {
      name: 'operation',
      value: 'NAME',
      help: 'Such as chat, completions, embeddings, responses or messages. Default: what the body looks like.',
    },
    {
      name: 'header',
      short: 'H',
      value: 'NAME:VALUE',
      help: 'A request header that conditions or stickiness look at.',
    },
    {
      name: 'key',
      value: 'ID',
      help: 'Id of the key under `auth.keys` that sends it. Default: anonymous.',
    },
    JSON_OUTPUT,
  ],
  examples: [
    { command: 'heddle explain request.json', help: 'Model, conditions and order of targets for this request.' },
    { command: `echo '{"model":"fast"}' | heddle explain --json -`, help: 'The same from a pipe, as JSON.' },
  ],
}

const sim: CommandSpec = {
  name: 'sim',
  args: '[ARGUMENTS]',
  maxArgs: Number.POSITIVE_INFINITY,
  summary: 'Run a simulated model provider.',
  details:
    'A backend with the APIs of OpenAI and other vendors that needs no key and can be told to fail. `heddle sim --help` ' +
    'lists its flags.',
  flags: [],
  examples: [{ command: 'heddle sim --port 9999', help: 'A backend for tests at http://127.0.0.1:9999/v1.' }],
}

const usage: CommandSpec = {
  name: 'usage',
  args: 'FILES...',
  maxArgs: Number.POSITIVE_INFINITY,
  summary: 'Add up what was used and what it cost.',
  details:
    'Reads files of usage records (`usage.records.file`), plain or `.gz`, of any size; `-` reads standard input. Sums ' +
    'are exact to the billionth of a dollar, the dearest first. By `provider` or `target` the cost of attempts that ' +
    'failed over or were hedged counts where it arose.',
  flags: [
    {
      name: 'by',
      value: 'NAMES',
      help: 'Group by these, comma between: tenant, team, user, key, peer, model, route, provider, target, answered, operation, outcome, status, tier, month, day, hour, label:NAME. Default: model.',
    },
    { name: 'since', value: 'TIME', help: 'Records from then on: a duration such as 7d, or a date. UTC.' },
    { name: 'until', value: 'TIME', help: 'Records before then.' },
    { name: 'where', value: 'NAME=VALUE', help: 'Only these records; several with a comma between must all hold.' },
    { name: 'format', value: 'FORMAT', help: 'table, csv or json. Default: table.' },
  ],
  examples: [
    { command: 'heddle usage usage.jsonl*', help: 'By model, rotated files included.' },
    { command: 'heddle usage --by tenant,model --since 7d usage.jsonl', help: 'Who used what in the last week.' },
    {
      command: 'heddle usage --by day --where tenant=acme --format csv usage.jsonl.gz',
      help: 'A tenant’s days, for a spreadsheet.',
    },
  ],
}

/** Wired with `COMMANDS` once main.ts runs it. */
const key: CommandSpec = {
  name: 'key',
  args: 'ACTION [KEY|ID]',
  maxArgs: 2,
  summary: 'Make, show and revoke keys for callers.',
  details:
    '`new` makes a static key and its hash; `hash` reads a key from standard input and prints the hash for the ' +
    'configuration. `keygen` makes the key pair of an issuer; `mint` makes signed keys with it, which every gateway ' +
    'that has the public key accepts; `inspect` shows what a signed key may do (`-` reads it from standard input); ' +
    '`revoke` ends one. Lists have commas between their items.',
  flags: [
    { name: 'name', value: 'NAME', help: 'keygen, mint: name of the issuer. Default for mint: as keygen was told.' },
    { name: 'out', value: 'FILE', help: 'keygen: where the private key goes; must not exist.' },
    { name: 'issuer-key', value: 'FILE', help: 'mint: the private key, JWK or PEM.' },
    { name: 'id', value: 'ID', help: 'mint: public name of the key. Default: a random one.' },
    { name: 'expires', value: 'TIME', help: 'mint: `30d`, `12h` or a date. Default: 90d.' },
    { name: 'owner', value: 'NAME', help: 'mint: whom to ask about it.' },
    { name: 'tenant', value: 'NAME', help: 'mint: tenant that it belongs to.' },
    { name: 'team', value: 'NAME', help: 'mint: team, for limits and records.' },
    { name: 'user', value: 'NAME', help: 'mint: user, for limits and records.' },
    { name: 'roles', value: 'LIST', help: 'mint: roles; one of them must allow a request.' },
    { name: 'models', value: 'LIST', help: 'mint: models that may be asked for, with `*`. Default: all.' },
    { name: 'operations', value: 'LIST', help: 'mint: operations that may be used. Default: all.' },
    { name: 'providers', value: 'LIST', help: 'mint: providers that may serve it, with `*`. Default: all.' },
    { name: 'tools', value: 'LIST', help: 'mint: tools that may be offered to the model, with `*`. Default: all.' },
    {
      name: 'regions',
      value: 'LIST',
      help: 'mint: regions in which requests may be computed, with `*`. Default: all.',
    },
    { name: 'no-retention', help: 'mint: only providers that keep no prompts.' },
    { name: 'when', value: 'CEL', help: 'mint: condition that must be true for each request.' },
    {
      name: 'limit',
      value: 'LIST',
      help: 'mint: limits such as `requests=60/1m,usd=50/month@Europe/Berlin,concurrency=8`.',
    },
    { name: 'public-key', value: 'FILE', help: 'inspect: check the signature with this key, JWK or PEM.' },
    { name: 'config', short: 'c', value: 'FILE|DIR', help: 'inspect: check with its issuers. revoke: write it there.' },
    { name: 'admin', value: 'URL', help: 'revoke: tell the gateway whose admin API is there.' },
    { name: 'admin-token', value: 'TOKEN', env: 'HEDDLE_ADMIN_TOKEN', help: 'revoke: token of the admin API.' },
    JSON_OUTPUT,
  ],
  examples: [
    { command: 'heddle key new', help: 'A static key, and the line for the configuration.' },
    { command: 'heddle key keygen --name hq --out hq.key', help: 'A key pair; prints what the configuration needs.' },
    {
      command: `heddle key mint --issuer-key hq.key --tenant acme --models 'gpt-*' --limit requests=60/1m`,
      help: 'A signed key for 90 days.',
    },
    { command: 'heddle key revoke hq/k-1a2b3c --config heddle.yaml', help: 'End it wherever this file is used.' },
  ],
}

const cache: CommandSpec = {
  name: 'cache',
  args: 'stats|purge|simulate [TRACE]',
  maxArgs: 2,
  summary: 'Look at kept answers, drop them, or see what keeping them would be worth.',
  details:
    'The first two ask a running gateway. `stats` shows what is kept; `purge` drops all answers for which everything ' +
    'holds that is said: of a tenant, a model, a tag, or to questions that begin so. `simulate` replays a file of ' +
    'requests and says how many would have been answered from the cache, how many of them wrongly, and what that saves: ' +
    'a JSON object a line, with `prompt` or `messages`, with `answer` (the text) or `cls` (any name of what may be ' +
    'answered alike), and `usd` where the cost is known; `-` reads standard input.',
  flags: [
    { name: 'admin', value: 'URL', help: 'The admin API. Default: http://127.0.0.1:8081.' },
    { name: 'admin-token', value: 'TOKEN', env: 'HEDDLE_ADMIN_TOKEN', help: 'As `server.admin_token` says.' },
    { name: 'tenant', value: 'NAME', help: 'purge: answers of a tenant.' },
    { name: 'model', value: 'NAME', help: 'purge: answers of a model.' },
    { name: 'tag', value: 'TAG', help: 'purge: answers that were made with `x-heddle-cache-tags: TAG`.' },
    { name: 'prefix', value: 'TEXT', help: 'purge: answers to questions that begin so.' },
    { name: 'id', value: 'KEY', help: 'purge: one answer, by its `x-heddle-cache-key`.' },
    { name: 'all', help: 'purge: all answers.' },
    {
      name: 'max-wrong-per-request',
      value: 'SHARE',
      help: 'simulate: of all requests at most so many are answered wrongly. Default: 1%.',
    },
    { name: 'max-wrong-per-hit', value: 'SHARE', help: 'simulate: of all semantic hits at most so many are wrong.' },
    { name: 'confidence', value: 'SHARE', help: 'simulate: how surely. Default: 95%.' },
    JSON_OUTPUT,
  ],
  examples: [
    { command: 'heddle cache stats', help: 'How many answers there are, and how much they take.' },
    { command: 'heddle cache purge --tag handbook-7', help: 'The handbook has changed.' },
    {
      command: 'heddle cache simulate examples/cache-trace.jsonl --max-wrong-per-request 20%',
      help: 'What the semantic cache would have answered.',
    },
  ],
}

const mesh: CommandSpec = {
  name: 'mesh',
  args: 'doctor|render',
  maxArgs: 1,
  summary: 'Look at the service mesh around, or print what it needs.',
  details:
    '`doctor` says which mesh this is and what in it or in the configuration would cut streams, repeat calls, lose traces ' +
    'or leak keys; it ends with 1 when something does. With `--via` it also sends requests through the proxies to an ' +
    'echo of its own. `render` prints the resources that exactly this configuration needs.',
  flags: [
    CONFIG,
    { name: 'target', value: 'TARGET', help: 'render: istio, linkerd or envoy-gateway.' },
    {
      name: 'patch',
      help: 'render: only what the Deployment needs: probes, drain times, annotations (`kubectl patch deployment`).',
    },
    { name: 'name', value: 'NAME', help: 'render: name of the Service and Deployment. Default: heddle.' },
    { name: 'namespace', value: 'NAME', env: 'POD_NAMESPACE', help: 'render: where it runs. Default: heddle.' },
    { name: 'service-account', value: 'NAME', help: 'render: whose identity it has. Default: heddle.' },
    { name: 'via', value: 'URL', help: 'doctor: a way through the proxies back to the echo, such as its Service.' },
    { name: 'echo-port', value: 'PORT', help: 'doctor: port of the echo. Default: any free one.' },
    { name: 'echo-host', value: 'ADDRESS', help: 'doctor: address of the echo. Default: 0.0.0.0.' },
    JSON_OUTPUT,
  ],
  examples: [
    { command: 'heddle mesh doctor -c heddle.yaml', help: 'In the pod: mesh, ports, drain, retries, keys.' },
    {
      command: 'heddle mesh doctor --via http://doctor.llm:8099 --echo-port 8099',
      help: 'The same, and what the proxies on that way do to a request.',
    },
    {
      command: 'heddle mesh render --target istio --namespace llm | kubectl diff -f -',
      help: 'What Istio needs for these providers and callers.',
    },
  ],
}

const record: CommandSpec = {
  name: 'record',
  args: 'URL',
  maxArgs: 1,
  summary: 'Keep what a real API says, as fixtures for tests.',
  details:
    'Listens on 127.0.0.1 and passes each call on to the API with the client’s own key. Every answered call becomes a ' +
    'JSON file: the request, and the answer in the pieces in which it came. Keys are taken out, of headers only those ' +
    'are kept that say how to read a body; prompts and answers stay, so look through the files before you share them.',
  flags: [
    { name: 'out', value: 'FOLDER', help: 'Where the files go. Default: ./recorded.' },
    { name: 'port', short: 'p', value: 'PORT', help: 'Port to listen on; 0 = any. Default: 8095.' },
  ],
  examples: [
    {
      command: 'heddle record https://api.anthropic.com --out test/fixtures/recorded',
      help: 'Then call http://127.0.0.1:8095/v1/messages with your key.',
    },
  ],
}

const version: CommandSpec = {
  name: 'version',
  args: '',
  maxArgs: 0,
  summary: 'Print the version.',
  details: 'Also `heddle --version`.',
  flags: [JSON_OUTPUT],
  examples: [{ command: 'heddle version --json', help: 'Version, Node version and platform as JSON.' }],
}

const help: CommandSpec = {
  name: 'help',
  args: '[COMMAND]',
  maxArgs: 1,
  summary: 'Show help for heddle or one of its commands.',
  details: 'The same as `heddle COMMAND --help`.',
  flags: [],
  examples: [{ command: 'heddle help serve', help: 'All flags of `serve`.' }],
}

export const COMMANDS = { serve, check, schema, explain, key, usage, cache, mesh, sim, record, version, help } as const

export type CommandName = keyof typeof COMMANDS
