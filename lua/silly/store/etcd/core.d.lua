---@meta silly.store.etcd.core

-- Definitions of the native half, for who works on the Lua half: the core, and the objects that it makes. What a loop
-- sees of the core is in library/.

---@class silly.store.etcd.native.core: silly.store.etcd.core
---@field isyieldable fun(): boolean, string? can the running coroutine be suspended right here? if not, what to do
local core = {}

--- The results of an operation that has completed; after a fork, once, the negative id of the last one before it.
---@return integer? id
---@return any ... its results
function core:next() end

--- What writes results into `waiters`, by the ids of their operations: returns the waiter that is done now, nil where
--- nothing has completed and how many results have been taken ever, false where `next` is to be asked.
---@param waiters table<integer, table>
---@return fun(): table|false|nil, integer?
function core:taker(waiters) end

--- Blocks the thread until an operation has completed, the time is over, or a signal came. Not at all where more results
--- have been taken than the caller has seen to: a finalizer may have taken one, behind its back.
---@param seconds number? at the most; default: no limit
---@param taken integer? how many it has seen to; default: those of the last wait
function core:wait(seconds, taken) end

--- The names of the calls that a client's `submitter` knows, each in its place.
---@return string[]
function core:simple() end

--- Milliseconds since 1970.
---@return integer
function core:now() end

--- Milliseconds since the module was loaded.
---@return integer
function core:monotonic() end

--- Catches SIGINT and SIGTERM from now on.
function core:catch() end

--- The signal that was caught and not taken yet.
---@return integer? signal
function core:caught() end

--- That of the library.
---@return string
function core:version() end

---@param value any
---@return string? text
---@return string? message
function core:tojson(value) end

---@param text string
---@return any value
---@return string? message
function core:fromjson(text) end

--- An integer from 1 to `n`.
---@param n integer
---@return integer
function core:random(n) end

--- The place of the id that the key belongs to, nil where there are none.
---@param key string
---@param ids string[]
---@return integer?
function core:rendezvous(key, ids) end

--- The names of a client's methods that are one request and one response.
---@return string[]
function core:calls() end

--- The text of these clients that Prometheus reads.
---@param clients silly.store.etcd.native.client[]
---@param names string[]  what each is called
---@return string text
function core:metrics(clients, names) end

---@param conf silly.store.etcd.conf
---@return_overload silly.store.etcd.native.client
---@return_overload nil, string
function core:newclient(conf) end

--- Submits a call: the id of the operation, or nil, a message and an info.
---@alias silly.store.etcd.native.call fun(self: any, req: any, more: any): integer?, string?, silly.store.etcd.info?

--- What loops of the module's own say beside.
---@class silly.store.etcd.own.loop: silly.store.etcd.loop
---@field quiet? true nobody goes on for its callers, see logger.lua

---@class silly.store.etcd.native.client
---@field put silly.store.etcd.native.call
---@field get silly.store.etcd.native.call
---@field delete silly.store.etcd.native.call
---@field txn silly.store.etcd.native.call
---@field compact silly.store.etcd.native.call
---@field grant silly.store.etcd.native.call
---@field revoke silly.store.etcd.native.call
---@field ttl silly.store.etcd.native.call
---@field leases silly.store.etcd.native.call
---@field keepalive silly.store.etcd.native.call
---@field watch silly.store.etcd.native.call
---@field scan silly.store.etcd.native.call
---@field cache silly.store.etcd.native.call
---@field register silly.store.etcd.native.call
---@field discover silly.store.etcd.native.call
---@field session silly.store.etcd.native.call
---@field lock silly.store.etcd.native.call
---@field campaign silly.store.etcd.native.call
---@field observe silly.store.etcd.native.call
local client = {}

---@param req any
---@param more any
---@return silly.store.etcd.native.transaction? transaction
---@return any tries  or a message
---@return any prefetches  or an info
function client:stm(req, more) end

--- What submits calls of this client whose requests are simple: returns the waiter, nil for the others.
---@param waiters table<integer, table>
---@param mt metatable  of waiters
---@return fun(owner: table, place: integer, name: string, req: any, more: any): table?
function client:submitter(waiters, mt) end

---@return silly.store.etcd.native.reader? records
---@return string? message
---@return silly.store.etcd.info? info
function client:records() end

---@return silly.store.etcd.stats? stats
---@return string? message
---@return silly.store.etcd.info? info
function client:stats() end

---@param prefix any
---@return silly.store.etcd.native.client? inner
---@return string? message
---@return silly.store.etcd.info? info
function client:namespace(prefix) end

function client:close() end

---@return boolean
function client:closed() end

--- Is some lease renewed in the background?
---@return boolean
function client:renews() end

---@return string servers
function client:describe() end

---@return silly.store.etcd.endpoint[]? endpoints
---@return string? message
---@return silly.store.etcd.info? info
function client:endpoints() end

---@param endpoints any
---@param more any
---@return true? done
---@return string? message
---@return silly.store.etcd.info? info
function client:setendpoints(endpoints, more) end

--- Nobody waits for this operation any longer.
---@param id integer
function core:giveup(id) end

--- What a stream is read from.
---@class silly.store.etcd.native.reader
local reader = {}

--- The next thing; false where one has to wait for it.
---@param seconds? number
---@return any
---@return string? message
---@return silly.store.etcd.info? info
function reader:take(seconds) end

--- Submits a wait until there may be something to take.
---@param seconds? number
---@return integer? id
---@return string? message
---@return silly.store.etcd.info? info
function reader:read(seconds) end

---@return silly.store.etcd.watch.status? status
---@return string? message
---@return silly.store.etcd.info? info
function reader:status() end

function reader:close() end

--- A range that is here.
---@class silly.store.etcd.native.cache
local cache = {}

--- The response of a read; false where one has to wait for it.
---@param req any
---@return silly.store.etcd.get.response|false? response
---@return string? message
---@return silly.store.etcd.info? info
function cache:look(req) end

--- A value and the number of the change that brought it; true where that is the one that is known, nil where there is no
--- such key, false where that cannot be told.
---@alias silly.store.etcd.native.peek fun(key: any, known: number?): string|boolean|nil, number?

---@return silly.store.etcd.native.peek
function cache:peek() end

--- Why the value of a key cannot be told; true where it can.
---@param key any
---@return true? known
---@return string? message
---@return silly.store.etcd.info? info
function cache:value(key) end

--- The same while nothing has changed.
---@return number
function cache:version() end

--- Keys as they are now.
---@class silly.store.etcd.native.view
---@field next fun(self: silly.store.etcd.native.view): silly.store.etcd.kv?

---@param prefix any?
---@return silly.store.etcd.native.view? view
---@return string? message
---@return silly.store.etcd.info? info
function cache:view(prefix) end

---@param req any
---@return silly.store.etcd.native.reader? reader
---@return string? message
---@return silly.store.etcd.info? info
function cache:changes(req) end

---@return silly.store.etcd.cache.status? status
---@return string? message
---@return silly.store.etcd.info? info
function cache:status() end

function cache:close() end

--- An entry that is kept.
---@class silly.store.etcd.native.registration
local registration = {}

---@return boolean
function registration:held() end

---@return silly.store.etcd.registration.status? status
---@return string? message
---@return silly.store.etcd.info? info
function registration:status() end

function registration:close() end

--- A lease that several share.
---@class silly.store.etcd.native.session
local session = {}

--- The program has it now, and may forget it.
function session:keep() end

---@return boolean
function session:held() end

function session:close() end

---@return { ID: silly.store.etcd.id }? left
---@return string? message
---@return silly.store.etcd.info? info
function session:orphan() end

--- What tells who leads: the same reader, with another status.
---@class silly.store.etcd.native.observer
---@field status fun(self: silly.store.etcd.native.observer): silly.store.etcd.kv?, string?, silly.store.etcd.info?

--- A place that is held: a lock, or leadership.
---@class silly.store.etcd.native.holder
local holder = {}

--- The program has it now, and may forget it.
function holder:keep() end

---@return boolean
function holder:held() end

--- Why it is not held; nil where it is.
---@return silly.store.etcd.loss? loss
function holder:loss() end

function holder:close() end

--- A transaction of code.
---@class silly.store.etcd.native.transaction
local transaction = {}

--- What is seen; false where something must be read first.
---@param req any
---@return silly.store.etcd.kv[]|false? kvs
---@return string? message
---@return silly.store.etcd.info? info
function transaction:get(req) end

---@param req any
---@return true? done
---@return string? message
---@return silly.store.etcd.info? info
function transaction:put(req) end

---@param req any
---@return true? done
---@return string? message
---@return silly.store.etcd.info? info
function transaction:delete(req) end

--- Its function runs once more.
function transaction:restart() end

return core
