---@meta silly.store.etcd

-- Definitions of `silly.store.etcd` for language servers: every function, request and answer.
--
-- A call that fails returns nil, a message for a person and a `silly.store.etcd.info` for programs. Keys and values
-- are byte strings. Integers in requests may also be floats without a fraction, or decimal or 0x strings. In answers
-- they are integers on Lua 5.3 and later, the unsigned ones by their bits; elsewhere ids are decimal strings and all
-- others numbers.

--- An id of 64 bits: an integer, or a decimal or 0x string. Responses give a decimal string on Lua 5.1, 5.2 and LuaJIT,
--- but the number 0 for none.
---@alias silly.store.etcd.id integer|string

---@alias silly.store.etcd.code
---| "cancelled" # the server gave the call up, or its caller was interrupted or resumed by somebody else
---| "unknown" # the server has no code for it
---| "invalid_argument" # the request is wrong: judged here, or by the server
---| "deadline_exceeded" # no answer within `timeout`
---| "not_found" # what was named does not exist, a lease mostly
---| "already_exists" # what was to be created exists
---| "permission_denied" # the user may not do this
---| "resource_exhausted" # a limit: space, size, number of requests, memory
---| "failed_precondition" # the state forbids it
---| "aborted" # the server broke the call off
---| "out_of_range" # a revision or a number outside of what exists
---| "unimplemented" # the server is too old for this call
---| "internal" # the server, the connection or this library broke its own rules
---| "unavailable" # no server could be reached, or it cannot serve now
---| "data_loss" # the server's data is damaged
---| "unauthenticated" # the token is missing or worn out
---| "closed" # the client, the watch or the stream was closed
---| "compacted" # the revision is no longer there
---| "lease_expired" # the lease is lost, as far as this client kept it
---| "tls" # the TLS handshake failed: the message says why
---| "protocol" # the server's answer makes no sense
---| "timeout" # nothing came within the seconds given to `read`; the stream lives on

--- Why a call failed, for programs.
---@class silly.store.etcd.info
---@field code silly.store.etcd.code the class of the failure: branch on it
---@field applied "no"|"maybe" may a write have happened all the same?
---@field endpoint? string the server that was asked last, as `host:port`
---@field field? string the field of the request that is wrong, such as `success[1].put.key`
---@field compact_revision? integer the first revision that is left, with "compacted" from a watch
---@field server_message? string the server's own words, where it spoke
---@field attempts? integer how many attempts were made
---@field elapsed? number seconds that they took, with the pauses between them
---@field causes? table<string,string> endpoint -> how the last attempt there failed

--- How a call behaves that fails. Requests override the client's own.
---@class silly.store.etcd.options
---@field timeout? number seconds for one attempt, fractions allowed; `math.huge` is no limit; default 5
---@field retry? integer further attempts once every endpoint was asked; default 5
---@field retry_sleep? integer milliseconds before each of those; default 1000
---@field retry_unknown? boolean also repeat a write whose answer was lost: it may happen twice; default false

---@class silly.store.etcd.conf: silly.store.etcd.options
---@field endpoints string[] at least one `host:port`, `http://…`, `https://…`, `[v6]:port` or `unix:///path`
---@field user? string who logs in, with `password`
---@field password? string
---@field token? string a token from elsewhere, instead of `user` and `password`
---@field tls? silly.store.etcd.tls encrypts the connections; default: only those to `https://`
---@field loop? silly.store.etcd.loop.name|silly.store.etcd.loop who suspends the callers; default: as `etcd.use` chose

--- How connections are encrypted. Certificates and keys are paths or PEM text; files are read at each connect.
---@class silly.store.etcd.tls
---@field ca? string whom to trust; default: the system's authorities
---@field cert? string the client's certificate, with `key`
---@field key? string its private key
---@field servername? string the name in the server's certificate; default: the endpoint's host
---@field insecure_skip_verify? boolean trust whoever answers; default false

---@class silly.store.etcd.header
---@field cluster_id silly.store.etcd.id unsigned; 0 in the answers inside of a transaction's
---@field member_id silly.store.etcd.id unsigned: the server that answered; 0 inside of a transaction's answer
---@field revision integer the store's revision when the answer was made
---@field raft_term silly.store.etcd.id unsigned; 0 inside of a transaction's answer

---@class silly.store.etcd.kv
---@field key string
---@field value string "" with `keys_only`, and in the event of a deletion
---@field create_revision integer when the key was last created
---@field mod_revision integer when the key was last changed
---@field version integer writes since it was created, 1 after the first; 0 in the event of a deletion
---@field lease silly.store.etcd.id the lease that the key is attached to, 0 for none

---@class silly.store.etcd.put: silly.store.etcd.options
---@field key string not empty
---@field value? string required, unless `ignore_value`
---@field lease? silly.store.etcd.id delete the key with this lease; default none
---@field prev_kv? boolean answer what was there before; default false
---@field ignore_value? boolean keep the value; the key must exist and `value` be absent; default false
---@field ignore_lease? boolean keep the lease; the key must exist and `lease` be absent; default false

---@class silly.store.etcd.put.response
---@field header silly.store.etcd.header
---@field prev_kv? silly.store.etcd.kv what was there before, if asked for and there

---@class silly.store.etcd.get: silly.store.etcd.options
---@field key string
---@field prefix? boolean all keys that start with `key`; "" is all keys; default false
---@field fromkey? boolean all keys from `key` on; excludes `prefix`; default false
---@field range_end? string all keys from `key` up to, not including, this one; excludes `prefix` and `fromkey`
---@field limit? integer answer this many keys at most; default 0: all
---@field revision? integer read the store as it was then; default 0: now
---@field sort_order? "NONE"|"ASCEND"|"DESCEND" default "NONE": by key, ascending
---@field sort_target? "KEY"|"VERSION"|"CREATE"|"MOD"|"VALUE" default "KEY"
---@field serializable? boolean answer from one member alone: cheaper, maybe stale; default false
---@field keys_only? boolean leave the values out; default false
---@field count_only? boolean count only; default false
---@field min_mod_revision? integer leave keys out that were last changed before; default 0: none
---@field max_mod_revision? integer leave keys out that were last changed after; default 0: none
---@field min_create_revision? integer leave keys out that were created before; default 0: none
---@field max_create_revision? integer leave keys out that were created after; default 0: none

---@class silly.store.etcd.get.response
---@field header silly.store.etcd.header
---@field kvs silly.store.etcd.kv[] empty if there is none
---@field more boolean did `limit` leave keys out?
---@field count integer keys in the range, whatever `limit` says

---@class silly.store.etcd.delete: silly.store.etcd.options
---@field key string
---@field prefix? boolean all keys that start with `key`; "" is all keys; default false
---@field fromkey? boolean all keys from `key` on; excludes `prefix`; default false
---@field range_end? string all keys from `key` up to, not including, this one; excludes `prefix` and `fromkey`
---@field prev_kv? boolean answer what was deleted; default false

---@class silly.store.etcd.delete.response
---@field header silly.store.etcd.header
---@field deleted integer the number of keys that were deleted; 0, which is true in Lua, for none
---@field prev_kvs silly.store.etcd.kv[] what was deleted, if asked for; else empty

---@class silly.store.etcd.txn: silly.store.etcd.options
---@field compare? silly.store.etcd.txn.compare[] all of them must hold; default none, which holds
---@field success? silly.store.etcd.txn.operation[] run if they hold; default none
---@field failure? silly.store.etcd.txn.operation[] run if one does not; default none

--- `key`, `target` and `result`, and the field that `target` names.
---@class silly.store.etcd.txn.compare
---@field key string
---@field prefix? boolean each key that starts with `key` must hold; default false
---@field fromkey? boolean each key from `key` on must hold; excludes `prefix`; default false
---@field range_end? string each key up to, not including, this one must hold; excludes `prefix` and `fromkey`
---@field target "VERSION"|"CREATE"|"MOD"|"VALUE"|"LEASE" what of the key is compared
---@field result "EQUAL"|"GREATER"|"LESS"|"NOT_EQUAL" how it must compare to the field below
---@field version? integer for "VERSION"; 0 for a key that does not exist
---@field create_revision? integer for "CREATE"; 0 for a key that does not exist
---@field mod_revision? integer for "MOD"; 0 for a key that does not exist
---@field value? string for "VALUE"
---@field lease? silly.store.etcd.id for "LEASE"; 0 for none

--- One of the four. The requests are those of the calls, without `silly.store.etcd.options`, or a key alone.
---@class silly.store.etcd.txn.operation
---@field put? silly.store.etcd.put
---@field get? silly.store.etcd.get|string
---@field delete? silly.store.etcd.delete|string
---@field txn? silly.store.etcd.txn

---@class silly.store.etcd.txn.response
---@field header silly.store.etcd.header
---@field succeeded boolean did the comparisons hold?
---@field responses silly.store.etcd.txn.result[] one per operation that was run, in order

--- The answer of one operation, under its name.
---@class silly.store.etcd.txn.result
---@field put? silly.store.etcd.put.response
---@field get? silly.store.etcd.get.response
---@field delete? silly.store.etcd.delete.response
---@field txn? silly.store.etcd.txn.response

---@class silly.store.etcd.compact: silly.store.etcd.options
---@field revision integer the first revision to keep
---@field physical? boolean answer only once the history is gone from the server's database; default false

---@class silly.store.etcd.compact.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.grant: silly.store.etcd.options
---@field TTL integer seconds to live after the last renewal; the server may grant more
---@field ID? silly.store.etcd.id default 0: the client chooses one
---@field keepalive? boolean renew the lease in the background; default true

---@class silly.store.etcd.grant.response
---@field header silly.store.etcd.header
---@field ID silly.store.etcd.id
---@field TTL integer seconds that were granted
---@field error? string the server's word on it; nil as a rule

---@class silly.store.etcd.revoke: silly.store.etcd.options
---@field ID silly.store.etcd.id

---@class silly.store.etcd.revoke.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.ttl: silly.store.etcd.options
---@field ID silly.store.etcd.id
---@field keys? boolean list the keys that are attached to the lease; default false

---@class silly.store.etcd.ttl.response
---@field header silly.store.etcd.header
---@field ID silly.store.etcd.id
---@field TTL integer seconds left, -1 if there is no such lease
---@field grantedTTL integer seconds that were granted, 0 if there is no such lease
---@field keys string[] the attached keys, if asked for; else empty

---@class silly.store.etcd.leases: silly.store.etcd.options

---@class silly.store.etcd.leases.response
---@field header silly.store.etcd.header
---@field leases silly.store.etcd.leases.lease[]

---@class silly.store.etcd.leases.lease
---@field ID silly.store.etcd.id

---@class silly.store.etcd.keepalive.request: silly.store.etcd.options
---@field ID silly.store.etcd.id
---@field keepalive? boolean renew the lease in the background from now on, or no longer; default as it is

---@class silly.store.etcd.keepalive.response
---@field header silly.store.etcd.header
---@field ID silly.store.etcd.id
---@field TTL integer seconds that the lease lives from this renewal on

---@class silly.store.etcd.watch.request: silly.store.etcd.options
---@field key string
---@field prefix? boolean all keys that start with `key`; "" is all keys; default false
---@field fromkey? boolean all keys from `key` on; excludes `prefix`; default false
---@field range_end? string all keys from `key` up to, not including, this one; excludes `prefix` and `fromkey`
---@field revision? integer the first revision to see; default 0: from now on
---@field start_revision? integer etcd's own name for `revision`
---@field prev_kv? boolean events carry what was there before; default false
---@field progress_notify? boolean also read responses without events, which tell how far the watch is; default false
---@field filters? ("NOPUT"|"NODELETE")[] events to leave out; default none
---@field NOPUT? boolean leave out puts; default false
---@field NODELETE? boolean leave out deletions; default false

---@class silly.store.etcd.watch.response
---@field header silly.store.etcd.header
---@field watch_id silly.store.etcd.id names the watch within its client, the same for its whole life
---@field events silly.store.etcd.event[] of one or more revisions, in order; empty in a progress notification
---@field created boolean always false: `client:watch` has waited for that response
---@field canceled boolean always false: `watch:read` answers nil then
---@field compact_revision integer always 0: `info.compact_revision` has it
---@field cancel_reason string always "": `watch:read` answers it as its message
---@field fragment boolean always false: the fragments of a response are joined

---@class silly.store.etcd.watch.status
---@field state "ready"|"stale"|"paused"|"ended" stale: cut off, and resumed as soon as possible; paused: to be read first
---@field revision integer all events up to this revision have come; 0 once the watch has ended
---@field lag number seconds since it was cut off; 0 where it is not
---@field message? string why it is cut off

---@class silly.store.etcd.event
---@field type "PUT"|"DELETE"
---@field kv silly.store.etcd.kv of a deletion: `key`, and the revision of the deletion as `mod_revision`
---@field prev_kv? silly.store.etcd.kv what was there before, if asked for, there, and not compacted

--- The library's native half, as a loop of one's own sees it.
---@class silly.store.etcd.core
local core = {}

--- Blocks the thread until an operation has completed, the time is over, or a signal came.
---@param seconds number? at the most; default: no limit
function core:wait(seconds) end

--- A caller that is suspended. A loop may keep fields of its own in it.
---@class silly.store.etcd.waiter
---@field done boolean has its operation completed?

--- Hands out what has completed: to be called after completions. Returns how many operations are under way.
---@alias silly.store.etcd.pump fun(): integer

--- Whether there is something to take, for a loop that watches descriptors: it is readable then.
---@return integer descriptor it must not be closed
function core:fd() end

--- The same for a loop that can watch sockets of its own only: where to connect on 127.0.0.1, and what to send first.
--- A line break comes from there when there is something to take.
---@return integer? port
---@return string nonce a message on failure
function core:port() end

--- Signals as if there was something to take.
function core:poke() end

--- The loops that are built in.
---@alias silly.store.etcd.loop.name
---| "copas"
---| "cqueues"
---| "eco"
---| "luv"
---| "neovim"
---| "openresty"
---| "silly"
---| "skynet"
---| "standalone" # the runtime of this repository; callers outside of its tasks block
---| "tarantool"

--- What suspends and resumes the callers of a client. All functions are called on the Lua thread.
---@class silly.store.etcd.loop
---@field current fun(): any, string? the running coroutine if it may be suspended now; else nil: the call then blocks, or ends with the text
---@field park async fun(waiter: silly.store.etcd.waiter): string? suspends its caller; may end early; a text cancels it
---@field wake fun(co: any, waiter: silly.store.etcd.waiter) resumes what `current` named; called by `pump`
---@field start fun(core: silly.store.etcd.core, pump: silly.store.etcd.pump, give_up: fun(waiter: silly.store.etcd.waiter)) a caller is about to be parked; `give_up` is for one that will never be resumed
---@field block? fun(core: silly.store.etcd.core, pump: silly.store.etcd.pump): string? waits and pumps once; may end the call with a text: it is `cancelled` then
---@field go? fun(f: function, ...: any) runs `f` as a caller that may be suspended
---@field exiting? async fun(pause: boolean?): string? a text once the host is about to end: nothing is watched then; with `pause` after a while

---@class silly.store.etcd
---@field _VERSION string the version of the library
local etcd = {}

--- Makes a client. Opens nothing and returns at once. Throws when the configuration is no good.
---@nodiscard
---@param conf silly.store.etcd.conf
---@return silly.store.etcd.client client
function etcd.newclient(conf) end

--- Chooses the loop of the clients that are made from now on in this lua_State. Without it that is the one of the host,
--- found by itself at the first client. Throws when there is no such loop, or when its host is not there.
---@param name silly.store.etcd.loop.name|silly.store.etcd.loop the name of a built-in loop, or one's own
function etcd.use(name) end

--- Runs `f` in a coroutine of the host, in which calls suspend only that: a task, a thread, a fiber, as the loop in use
--- has it. An error in it ends the coroutine and is reported as the host reports it. Throws where none can be started.
---@param f async fun(...: any)
---@param ... any arguments for `f`
function etcd.go(f, ...) end

--- Lua's pcall; on Lua 5.1 one in which a caller can be suspended, on every loop.
etcd.pcall = pcall

--- A client. Requests are never changed; a call never throws, but for one without `self`.
---@class silly.store.etcd.client
local client = {}

--- Stores a value under a key.
---@async
---@param req silly.store.etcd.put
---@return silly.store.etcd.put.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.put.response
---@return_overload nil, string, silly.store.etcd.info
function client:put(req) end

--- Reads a key, or a range of keys.
---@async
---@nodiscard
---@param req silly.store.etcd.get|string or the key alone
---@return silly.store.etcd.get.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.get.response
---@return_overload nil, string, silly.store.etcd.info
function client:get(req) end

--- Deletes a key, or a range of keys.
---@async
---@param req silly.store.etcd.delete|string or the key alone
---@return silly.store.etcd.delete.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.delete.response
---@return_overload nil, string, silly.store.etcd.info
function client:delete(req) end

--- Compares, then runs one of two lists of operations, all in one step.
---@async
---@param req silly.store.etcd.txn
---@return silly.store.etcd.txn.response? response nil on failure; comparisons that do not hold are no failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.txn.response
---@return_overload nil, string, silly.store.etcd.info
function client:txn(req) end

--- Forgets the history before a revision.
---@async
---@param req silly.store.etcd.compact|integer|string or the revision alone
---@return silly.store.etcd.compact.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.compact.response
---@return_overload nil, string, silly.store.etcd.info
function client:compact(req) end

--- Creates a lease and renews it in the background, unless the request says `keepalive = false`.
---@async
---@nodiscard
---@param req silly.store.etcd.grant|integer|string or the TTL alone
---@return silly.store.etcd.grant.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.grant.response
---@return_overload nil, string, silly.store.etcd.info
function client:grant(req) end

--- Ends a lease; its keys are deleted with it and its renewal stops.
---@async
---@param req silly.store.etcd.revoke|silly.store.etcd.id or the id alone
---@return silly.store.etcd.revoke.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.revoke.response
---@return_overload nil, string, silly.store.etcd.info
function client:revoke(req) end

--- Asks how long a lease still lives.
---@async
---@nodiscard
---@param req silly.store.etcd.ttl|silly.store.etcd.id or the id alone
---@return silly.store.etcd.ttl.response? response nil on failure; a lease that does not exist is no failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.ttl.response
---@return_overload nil, string, silly.store.etcd.info
function client:ttl(req) end

--- Lists the leases of the cluster.
---@async
---@nodiscard
---@param req silly.store.etcd.leases?
---@return silly.store.etcd.leases.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.leases.response
---@return_overload nil, string, silly.store.etcd.info
function client:leases(req) end

--- Renews a lease once. With an id instead of a request it is also renewed in the background from then on.
---@async
---@nodiscard
---@param req silly.store.etcd.keepalive.request|silly.store.etcd.id
---@return silly.store.etcd.keepalive? stream nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.keepalive
---@return_overload nil, string, silly.store.etcd.info
function client:keepalive(req) end

--- Watches a key, or a range of keys. Returns once the server has confirmed it.
---@async
---@nodiscard
---@param req silly.store.etcd.watch.request|string or the key alone
---@return silly.store.etcd.watch? stream nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.watch
---@return_overload nil, string, silly.store.etcd.info
function client:watch(req) end

--- Ends everything: calls and watches under way answer with the code "closed", and so does every later call. Leases
--- are renewed no longer and end with their TTL. May be called again; `<close>` and the collector do the same.
function client:close() end

--- The answer of `client:keepalive`, and a stream for more renewals of the lease.
---@class silly.store.etcd.keepalive: silly.store.etcd.keepalive.response
local keepalive = {}

--- Renews the lease once more and waits for the answer, which `read` returns.
---@async
---@param req silly.store.etcd.keepalive.request? the same lease, which is what is renewed without a request
---@return boolean? ok true, or nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload true
---@return_overload nil, string, silly.store.etcd.info
function keepalive:write(req) end

--- The newest answer that was not read yet, at first that of `client:keepalive` itself. Where the lease is renewed in
--- the background and all is read, it waits for the next renewal or the loss of the lease.
---@async
---@nodiscard
---@param seconds? number how long to wait at the most; default: for ever
---@return silly.store.etcd.keepalive.response? response nil on failure
---@return string? message one line for a person; "timeout" when the time is over
---@return silly.store.etcd.info? info "lease_expired" with the reason; "failed_precondition" if nothing can come
---@return_overload silly.store.etcd.keepalive.response
---@return_overload nil, string, silly.store.etcd.info
function keepalive:read(seconds) end

--- Ends the stream. The lease and its renewal in the background go on. May be called again; `<close>` does the same.
function keepalive:close() end

--- A watch: every event of the watched keys exactly once, in order.
---@class silly.store.etcd.watch
local watch = {}

--- What the watch is doing: silence is told from loss. Costs no call.
---@nodiscard
---@return silly.store.etcd.watch.status? status nil in a forked child
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.watch.status
---@return_overload nil, string, silly.store.etcd.info
function watch:status() end

--- Waits for the next response. After the end of the watch every read says why it ended.
---@async
---@nodiscard
---@param seconds number? at the most, fractions allowed; nil, "timeout" is returned then and the watch lives on
---@return silly.store.etcd.watch.response? response nil at the end, or when the seconds are over
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.watch.response
---@return_overload nil, string, silly.store.etcd.info
function watch:read(seconds) end

--- Iterates over the events: `for event, response in stream:events() do`. A loop that is left loses nothing: the next
--- one, or `read`, goes on there. It ends when the watch or its client is closed; any other end is raised, and `read`
--- gives it as `nil, message, info`.
---@nodiscard
---@return async fun(): silly.store.etcd.event?, silly.store.etcd.watch.response? next nil at the end
function watch:events() end

--- Ends the watch. What was not read is dropped, and reads under way end with the code "closed". May be called again;
--- `<close>` and the collector do the same.
function watch:close() end

--- The same as `close`.
function watch:cancel() end

return etcd
