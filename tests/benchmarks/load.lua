-- Lets wrk send each request of a file once, or all of them over and over: `-s load.lua URL -- FILE
-- once|again`. A request stands after its number of bytes and a line break.

local requests, at, again = {}, 0, false

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local size = file:read("*n")
  while size do
    file:read(1)
    requests[#requests + 1] = file:read(size)
    size = file:read("*n")
  end
  file:close()
  again = arguments[2] == "again"
end

function request()
  at = at + 1
  if at > #requests and again then
    at = 1
  end
  -- Whoever counts the answers sees that there were more than requests.
  return requests[at] or "GET / HTTP/1.1\r\nHost: none\r\n\r\n"
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%f,"errors":%d,"statuses":%d,"median":%f,"p99":%f}\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status,
    latency:percentile(50), latency:percentile(99)
  ))
end
