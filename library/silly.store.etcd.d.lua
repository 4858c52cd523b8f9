---@meta silly.store.etcd

-- Definitions of `silly.store.etcd` for language servers: every function, request and answer.
--
-- A call that fails returns nil, a message for a person and a `silly.store.etcd.info` for programs. Keys and values
-- are byte strings. Integers in requests may also be floats without a fraction, or decimal or 0x strings. In responses
-- they are integers on Lua 5.3 and later, the unsigned ones by their bits; elsewhere ids are decimal strings and all
-- others numbers.

--- An id of 64 bits: an integer, or a decimal or 0x string. Responses give a decimal string on Lua 5.1, 5.2 and LuaJIT,
--- but the number 0 for none.
---@alias silly.store.etcd.id integer|string

---@alias silly.store.etcd.code
---| "cancelled" # the server gave the call up, or its caller was interrupted or resumed by somebody else
---| "unknown" # the server has no code for it
---| "invalid_argument" # the request is wrong: judged here, or by the server
---| "deadline_exceeded" # no response within `timeout`
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
---| "protocol" # the server's response makes no sense
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

-- docs: classes
--- How a call behaves that fails. Requests override the client's own.
---@class silly.store.etcd.options
---@field timeout? number Seconds for one attempt, fractions allowed; `math.huge` is no limit. Default 5.
---@field retry? integer Further attempts once every endpoint was asked. Default 5.
---@field retry_sleep? integer Milliseconds before each of those. Default 1000.
---@field retry_unknown? boolean Also repeat a write whose response was lost: it may happen twice. Default false.

---@class silly.store.etcd.put: silly.store.etcd.options
---@field key string Not empty.
---@field value? string Required, unless `ignore_value`.
---@field lease? silly.store.etcd.id Delete the key when this lease ends. Default 0: none.
---@field prev_kv? boolean Return what was there before. Default false.
---@field ignore_value? boolean Keep the value; the key must exist and `value` be absent. Default false.
---@field ignore_lease? boolean Keep the lease; the key must exist and `lease` be absent. Default false.

---@class silly.store.etcd.put.response
---@field header silly.store.etcd.header
---@field prev_kv? silly.store.etcd.kv What was there before, if asked for and there.

---@class silly.store.etcd.header
---@field cluster_id silly.store.etcd.id Unsigned. 0 in the responses inside of a transaction's.
---@field member_id silly.store.etcd.id The server that responded; unsigned. 0 inside of a transaction's response.
---@field revision integer The store's revision when the response was made.
---@field raft_term silly.store.etcd.id Unsigned. 0 inside of a transaction's response.

---@class silly.store.etcd.kv
---@field key string The key.
---@field create_revision integer When the key was last created.
---@field mod_revision integer When the key was last changed.
---@field version integer How many writes there were since it was created: 1 after the first, 0 in the event of a deletion.
---@field value string The value; "" with `keys_only`, and in the event of a deletion.
---@field lease silly.store.etcd.id The lease that the key is attached to; 0 for none.

---@class silly.store.etcd.get: silly.store.etcd.options
---@field key string The key, or the first of the range.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field limit? integer Return at most this many keys. Default 0: all.
---@field revision? integer Read the store as it was then. Default 0: now.
---@field sort_order? "NONE"|"ASCEND"|"DESCEND" How to sort. Default "NONE": by key, ascending.
---@field sort_target? "KEY"|"VERSION"|"CREATE"|"MOD"|"VALUE" What to sort by. Default "KEY".
---@field serializable? boolean Let one member respond alone: cheaper, maybe stale. Default false.
---@field keys_only? boolean Leave the values out. Default false.
---@field count_only? boolean Only count. Default false.
---@field min_mod_revision? integer Leave out keys that were last changed before. Default 0: none.
---@field max_mod_revision? integer Leave out keys that were last changed after. Default 0: none.
---@field min_create_revision? integer Leave out keys that were created before. Default 0: none.
---@field max_create_revision? integer Leave out keys that were created after. Default 0: none.

---@class silly.store.etcd.get.response
---@field header silly.store.etcd.header
---@field kvs silly.store.etcd.kv[] The keys; empty if there is none.
---@field more boolean Did `limit` leave keys out?
---@field count integer How many keys are in the range, whatever `limit` says.

---@class silly.store.etcd.delete: silly.store.etcd.options
---@field key string The key, or the first of the range.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field prev_kv? boolean Return what was deleted. Default false.

---@class silly.store.etcd.delete.response
---@field header silly.store.etcd.header
---@field deleted integer How many keys were deleted. 0 is true in Lua: compare it.
---@field prev_kvs silly.store.etcd.kv[] What was deleted, if asked for; else empty.

---@class silly.store.etcd.compact: silly.store.etcd.options
---@field revision integer The first revision to keep.
---@field physical? boolean Respond only once the history is gone from the server's database. Default false.

---@class silly.store.etcd.compact.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.revoke: silly.store.etcd.options
---@field ID silly.store.etcd.id The lease.

---@class silly.store.etcd.revoke.response
---@field header silly.store.etcd.header

---@class silly.store.etcd.ttl: silly.store.etcd.options
---@field ID silly.store.etcd.id The lease.
---@field keys? boolean List the keys that are attached to it. Default false.

---@class silly.store.etcd.ttl.response
---@field header silly.store.etcd.header
---@field ID silly.store.etcd.id The lease.
---@field TTL integer Seconds left; -1 if there is no such lease.
---@field grantedTTL integer Seconds that were granted; 0 if there is no such lease.
---@field keys string[] The attached keys, if asked for; else empty.

---@class silly.store.etcd.leases: silly.store.etcd.options

---@class silly.store.etcd.leases.response
---@field header silly.store.etcd.header
---@field leases silly.store.etcd.leases.lease[] All of them.

---@class silly.store.etcd.leases.lease
---@field ID silly.store.etcd.id The lease.

---@class silly.store.etcd.txn: silly.store.etcd.options
---@field compare? silly.store.etcd.txn.compare[] All of them must hold. Default none, which holds.
---@field success? silly.store.etcd.txn.operation[] Run if they hold. Default none.
---@field failure? silly.store.etcd.txn.operation[] Run if one does not. Default none.

---@class silly.store.etcd.txn.compare
---@field result "EQUAL"|"GREATER"|"LESS"|"NOT_EQUAL" How it must compare to the operand.
---@field target "VERSION"|"CREATE"|"MOD"|"VALUE"|"LEASE" What of the key is compared.
---@field key string The key, or the first of a range of which each key must hold.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field version? integer The operand of "VERSION"; 0 for a key that does not exist.
---@field create_revision? integer The operand of "CREATE"; 0 for a key that does not exist.
---@field mod_revision? integer The operand of "MOD"; 0 for a key that does not exist.
---@field value? string The operand of "VALUE".
---@field lease? silly.store.etcd.id The operand of "LEASE"; 0 for none.

---@class silly.store.etcd.txn.response
---@field header silly.store.etcd.header
---@field succeeded boolean Did the comparisons hold?
---@field responses silly.store.etcd.txn.result[] One for each operation that was run, in order.

---@class silly.store.etcd.grant: silly.store.etcd.options
---@field TTL integer Seconds to live after the last renewal; the server may grant more.
---@field ID? silly.store.etcd.id The id of the lease. Default 0: the client chooses one.
---@field keepalive? boolean Renew the lease in the background. Default true.

---@class silly.store.etcd.grant.response
---@field header silly.store.etcd.header
---@field ID silly.store.etcd.id The id of the lease.
---@field TTL integer Seconds that were granted; etcd's minimum is 2 by default.
---@field error? string The server's word on it; nil as a rule.

---@class silly.store.etcd.keepalive.request: silly.store.etcd.options
---@field ID silly.store.etcd.id The lease.
---@field keepalive? boolean Renew the lease in the background from now on, or no longer. Default as it is.

---@class silly.store.etcd.keepalive.response
---@field header silly.store.etcd.header
---@field ID silly.store.etcd.id The lease.
---@field TTL integer Seconds that the lease lives from this renewal on.

---@class silly.store.etcd.watch.request: silly.store.etcd.options
---@field key string The key, or the first of the range.
---@field prefix? boolean All keys that start with `key`; "" is all keys. Default false.
---@field fromkey? boolean All keys from `key` on, in byte order. Excludes `prefix`. Default false.
---@field range_end? string All keys from `key` up to, not including, this one. Excludes `prefix` and `fromkey`.
---@field start_revision? integer etcd's own name for `revision`.
---@field progress_notify? boolean Also read responses without events, which tell how far the watch is. Default false.
---@field filters? ("NOPUT"|"NODELETE")[] Events to leave out. Default none.
---@field prev_kv? boolean Let events have what was there before. Default false.
---@field revision? integer The first revision to see; the history is replayed from there. Default 0: from now on.
---@field NOPUT? boolean Leave out puts, as the filter of this name. Default false.
---@field NODELETE? boolean Leave out deletions, as the filter of this name. Default false.

---@class silly.store.etcd.watch.response
---@field header silly.store.etcd.header
---@field watch_id silly.store.etcd.id Names the watch within its client, the same for its whole life.
---@field created boolean Always false: `client:watch` has waited for that response.
---@field canceled boolean Always false: `watch:read` returns nil then.
---@field compact_revision integer Always 0: `info.compact_revision` has it.
---@field cancel_reason string Always "": `watch:read` returns it as its message.
---@field fragment boolean Always false: the fragments of a response are joined.
---@field events silly.store.etcd.event[] Those of one or more revisions, in order; empty in a progress notification.

---@class silly.store.etcd.event
---@field type "PUT"|"DELETE" What has happened.
---@field kv silly.store.etcd.kv The key as it is now. Of a deletion: `key`, and the revision of the deletion as `mod_revision`.
---@field prev_kv? silly.store.etcd.kv What was there before, if asked for, there, and not compacted.

-- docs: end

--- One of the four. The requests are those of the calls, without `silly.store.etcd.options`, or a key alone.
---@class silly.store.etcd.txn.operation
---@field put? silly.store.etcd.put
---@field get? silly.store.etcd.get|string
---@field delete? silly.store.etcd.delete|string
---@field txn? silly.store.etcd.txn

--- The response of one operation, under its name.
---@class silly.store.etcd.txn.result
---@field put? silly.store.etcd.put.response
---@field get? silly.store.etcd.get.response
---@field delete? silly.store.etcd.delete.response
---@field txn? silly.store.etcd.txn.response

---@class silly.store.etcd.watch.status
---@field state "ready"|"stale"|"paused"|"ended" stale: cut off, and resumed as soon as possible; paused: to be read first
---@field revision integer all events up to this revision have come; 0 once the watch has ended
---@field lag number seconds since it was cut off; 0 where it is not
---@field message? string why it is cut off

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
---@field park async fun(waiter: silly.store.etcd.waiter): string?, silly.store.etcd.code? suspends its caller; may end early; a text ends the call, as `cancelled` or with the code beside it
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

-- docs: calls
--- Stores a value under a key. Not under a lease that this client knows to be lost.
---@async
---@param req silly.store.etcd.put
---@return silly.store.etcd.put.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.put.response
---@return_overload nil, string, silly.store.etcd.info
function client:put(req) end

--- Reads a key or a range of keys.
---@async
---@nodiscard
---@param req silly.store.etcd.get|string or the `key` alone
---@return silly.store.etcd.get.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.get.response
---@return_overload nil, string, silly.store.etcd.info
function client:get(req) end

--- Deletes a key or a range of keys.
---@async
---@param req silly.store.etcd.delete|string or the `key` alone
---@return silly.store.etcd.delete.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.delete.response
---@return_overload nil, string, silly.store.etcd.info
function client:delete(req) end

--- Forgets the history before a revision.
---@async
---@param req silly.store.etcd.compact|integer|string or the `revision` alone
---@return silly.store.etcd.compact.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.compact.response
---@return_overload nil, string, silly.store.etcd.info
function client:compact(req) end

--- Ends a lease and deletes its keys. Its renewal stops at once, whatever the server responds.
---@async
---@param req silly.store.etcd.revoke|silly.store.etcd.id or the `ID` alone
---@return silly.store.etcd.revoke.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.revoke.response
---@return_overload nil, string, silly.store.etcd.info
function client:revoke(req) end

--- How long a lease still lives, in seconds; -1 for one that does not exist.
---@async
---@nodiscard
---@param req silly.store.etcd.ttl|silly.store.etcd.id or the `ID` alone
---@return silly.store.etcd.ttl.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.ttl.response
---@return_overload nil, string, silly.store.etcd.info
function client:ttl(req) end

--- All leases of the cluster.
---@async
---@nodiscard
---@param req silly.store.etcd.leases?
---@return silly.store.etcd.leases.response? response nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.leases.response
---@return_overload nil, string, silly.store.etcd.info
function client:leases(req) end

-- docs: end

--- Compares, then runs one of two lists of operations, all in one step.
---@async
---@param req silly.store.etcd.txn
---@return silly.store.etcd.txn.response? response nil on failure; comparisons that do not hold are no failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload silly.store.etcd.txn.response
---@return_overload nil, string, silly.store.etcd.info
function client:txn(req) end

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

--- The response of `client:keepalive`, and a stream for more renewals of the lease.
---@class silly.store.etcd.keepalive: silly.store.etcd.keepalive.response
local keepalive = {}

--- Renews the lease once more and waits for the response, which `read` returns.
---@async
---@param req silly.store.etcd.keepalive.request? the same lease, which is what is renewed without a request
---@return boolean? ok true, or nil on failure
---@return string? message one line for a person
---@return silly.store.etcd.info? info
---@return_overload true
---@return_overload nil, string, silly.store.etcd.info
function keepalive:write(req) end

--- The newest response that was not read yet, at first that of `client:keepalive` itself. Where the lease is renewed in
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
