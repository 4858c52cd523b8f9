-- Backs an etcd up: lua examples/backup.lua FILE [ENDPOINT]
--
-- In: where to; the endpoint, or $ETCD_ENDPOINTS, or the variables of etcdctl. Out: the file, complete and checked, or
-- none. On a terminal it draws a bar; in cron it prints one line, or nothing but the failure on stderr and the exit
-- status 1.

local etcd = require "silly.store.etcd"

local file, endpoint = ...
endpoint = endpoint or os.getenv "ETCD_ENDPOINTS"
if not file then
	io.stderr:write("usage: backup.lua FILE [ENDPOINT]\n")
	os.exit(2)
end

local function connect()
	local conf = etcd.fromenv()
	if endpoint then
		conf.endpoints = {}
		for one in endpoint:gmatch "[^,%s]+" do
			conf.endpoints[#conf.endpoints + 1] = one
		end
	end
	return etcd.newclient(conf)
end
local ok, made = pcall(connect)
if not ok then
	io.stderr:write(tostring(made), "\n")
	os.exit(1)
end
local client = made --[[@as silly.store.etcd.client]]

-- The bar is for people.
local tty = os.execute "test -t 1"
---@type { drawn: integer? }
local bar = {}
local function draw(done, total)
	local share = total > 0 and math.floor(done / total * 40) or 0
	if share ~= bar.drawn then
		bar.drawn = share
		io.write("\r[", ("#"):rep(share), (" "):rep(40 - share), ("] %.1f MiB"):format(done / 2 ^ 20))
		io.flush()
	end
end

---@async
local function backup()
	local copied, message = client.maintenance:snapshot {
		file = file,
		progress = (tty == true or tty == 0) and draw or nil,
	}
	client:close()
	if bar.drawn then
		io.write "\n"
	end
	if not copied then
		io.stderr:write(message, "\n")
		return os.exit(1)
	end
	print(("%s: %d bytes from %s, sha256 %s"):format(file, copied.bytes, copied.endpoint, copied.sha256))
end

---@diagnostic disable-next-line: await-in-sync -- here it blocks
backup()
