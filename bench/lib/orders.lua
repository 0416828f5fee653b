-- wrk sends the order of the file that ORDER_FILE names, as bench_loadgen does; wrk's has one number.
local file = assert(io.open(assert(os.getenv("ORDER_FILE"), "ORDER_FILE is not set"), "r"))
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = file:read("*a"):gsub("{n}", "000000000001")
file:close()
