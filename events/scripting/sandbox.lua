-- The sandbox of one script: what it sees, how it is stopped, how its result becomes JSON.
-- Returns compile(text) -> chunk | nil, message; run(chunk, event, is_filter, seconds) -> true, result | nil, message;
-- last_bytes() -> the result, whatever its bytes.
-- Every function used here is captured before a script runs; scripts get copies of the libraries, new ones each time.

local raw = _G
local type, next, select, pcall, error, rawget, unpack = type, next, select, pcall, error, rawget, unpack
local getmetatable, setmetatable, tostring, tonumber = getmetatable, setmetatable, tostring, tonumber
local getfenv, setfenv, loadstring, collectgarbage = getfenv, setfenv, loadstring, collectgarbage
local format, find, gsub, gmatch, byte = string.format, string.find, string.gsub, string.gmatch, string.byte
local concat, cocreate, coresume, clock = table.concat, coroutine.create, coroutine.resume, os.clock
local sethook, huge = debug.sethook, math.huge

local STEPS = 10000          -- instructions between two looks at the clock
local DEEPEST = 1000         -- levels of a result
local LAST_INDEX = 67108864  -- upstream's Lua keeps larger indices as keys

local current                -- the environment of the running script
local limit, expired = 0, false
local TOO_LONG = "the script took too long"

-- Stopping. Once over the limit every further instruction fails, so that no pcall can go on.

local function hook()
  if expired or clock() > limit then
    expired = true
    sethook(hook, "", 1)
    error(TOO_LONG, 0)
  end
end

local function still_allowed(...)
  if expired then error(TOO_LONG, 0) end
  return ...
end

local function create(body)
  local thread = cocreate(body)
  sethook(thread, hook, "", STEPS)  -- a new thread inherits a hook that does nothing
  return still_allowed(thread)
end

local function unwrapped(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

-- Numbers as upstream's Lua writes them.

local function number_text(n)
  if n ~= n then return "NaN" end
  if n == huge then return "+Inf" elseif n == -huge then return "-Inf" end
  if n == 0 then return "0" end
  if n % 1 == 0 and n < 1e21 and n > -1e21 then return format("%.0f", n) end
  for digits = 15, 16 do
    local text = format("%." .. digits .. "g", n)
    if tonumber(text) == n then return text end
  end
  return format("%.17g", n)
end

local function text_of(...)
  if select("#", ...) == 0 then error("bad argument #1 to 'tostring' (value expected)", 2) end
  local value = ...
  if type(value) == "number" then return number_text(value) end
  return tostring(value)
end

local function format_text(template, ...)
  if type(template) ~= "string" or not find(template, "%%[^%a%%]*s") then return format(template, ...) end
  local values, count, at = {...}, select("#", ...), 0
  for kind in gmatch(template, "%%[^%a%%]*([%a%%])") do
    if kind ~= "%" then
      at = at + 1
      if kind == "s" and at <= count and type(values[at]) ~= "string" then values[at] = text_of(values[at]) end
    end
  end
  return format(template, unpack(values, 1, count))
end

local function concat_list(list, separator, first, last)
  if type(list) ~= "table" then return concat(list, separator) end
  local texts = {}
  for at = first or 1, last or #list do
    local value = rawget(list, at)
    texts[at] = type(value) == "number" and number_text(value) or value
  end
  return concat(texts, separator, first or 1, last or #list)
end

-- What a script sees.

local base = {
  _VERSION = _VERSION, assert = assert, error = error, getmetatable = getmetatable, ipairs = ipairs, next = next,
  pairs = pairs, pcall = pcall, rawequal = rawequal, rawget = rawget, rawset = rawset, select = select,
  setmetatable = setmetatable, tonumber = tonumber, tostring = text_of, type = type, unpack = unpack, xpcall = xpcall,
  print = function() end,
  collectgarbage = function(what) return what == "count" and collectgarbage("count") or 0 end,
  loadstring = function(text, name)
    if type(text) ~= "string" then error("bad argument #1 to 'loadstring' (string expected)", 2) end
    if byte(text) == 27 then return nil, "compiled code is not available here" end
    local chunk, message = loadstring(text, name)
    if chunk then setfenv(chunk, current) end
    return chunk, message
  end,
  -- The state outlives the script: its own globals stay out of reach.
  getfenv = function(of)
    if of == 0 then return current end
    local found = getfenv(type(of) == "number" and of + 1 or of or 2)
    if found == raw then found = current end
    return found
  end,
  setfenv = function(of, environment)
    if type(of) == "number" then of = of + 1 end
    if of == 1 or getfenv(of) == raw then error("'setfenv' cannot change environment of given object", 2) end
    return setfenv(of, environment)
  end,
}

local function copy(library)
  local copied = {}
  for name, value in next, library do copied[name] = value end
  return copied
end

local libraries = {
  string = copy(string), table = copy(table), math = copy(math),
  os = {
    time = os.time, date = os.date, clock = clock, difftime = os.difftime, getenv = function() return nil end,
  },
  coroutine = {
    create = create,
    resume = function(...) return still_allowed(coresume(...)) end,
    wrap = function(body)
      local thread = create(body)
      return function(...) return unwrapped(still_allowed(coresume(thread, ...))) end
    end,
    running = coroutine.running, status = coroutine.status, yield = coroutine.yield,
  },
}
libraries.string.dump = nil
libraries.string.format = format_text
libraries.table.concat = concat_list

local strings = getmetatable("")
strings.__metatable = false  -- shared by all events

local function environment(event)
  local made = copy(base)
  for name, library in next, libraries do made[name] = copy(library) end
  made._G, made.event = made, event
  strings.__index = made.string
  return made
end

-- Results. The text may have its keys in any order and numbers in C's words: Python has the last word.

local escapes = {['"'] = '\\"', ["\\"] = "\\\\"}
local function escaped(char) return escapes[char] or format("\\u%04x", byte(char)) end

local function quoted(text)
  if find(text, '[%c"\\]') then text = gsub(text, '[%c"\\]', escaped) end
  return '"' .. text .. '"'
end

local function json_number(n)
  if n ~= n or n == huge or n == -huge then
    error("the result has a number that is not finite: JSON has no such numbers", 0)
  end
  return format("%.17g", n)
end

local function is_array(list)
  local meta = getmetatable(list)
  return type(meta) == "table" and rawget(meta, "__is_array") == true
end

local function last_index(list)
  local largest = 0
  for key in next, list do
    if type(key) == "number" and key > largest and key < LAST_INDEX and key % 1 == 0 then largest = key end
  end
  return largest
end

local encode

local function array(list, last, out, at, depth)
  local separator = "["
  for index = 1, last do
    out[at] = separator
    at = encode(rawget(list, index), out, at + 1, depth)
    separator = ","
  end
  out[at] = last == 0 and "[]" or "]"
  return at + 1
end

local function object(map, out, at, depth)
  local separator = "{"
  for key, value in next, map do
    out[at] = separator
    if type(key) ~= "string" then
      key = type(key) == "number" and number_text(key) or type(key) == "boolean" and tostring(key) or type(key)
    end
    out[at + 1] = quoted(key)
    out[at + 2] = ":"
    at = encode(value, out, at + 3, depth)
    separator = ","
  end
  out[at] = separator == "{" and "{}" or "}"
  return at + 1
end

function encode(value, out, at, depth)
  local kind = type(value)
  if kind == "string" then out[at] = quoted(value)
  elseif kind == "number" then out[at] = json_number(value)
  elseif kind == "boolean" then out[at] = value and "true" or "false"
  elseif kind == "nil" then out[at] = "null"
  elseif kind == "table" then
    if depth > DEEPEST then error("the result is nested too deep, or contains itself", 0) end
    local last = last_index(value)
    if last > 0 or is_array(value) then return array(value, last, out, at, depth + 1) end
    return object(value, out, at, depth + 1)
  else
    error("the result has a " .. kind .. ", which JSON cannot say", 0)
  end
  return at + 1
end

-- Running.

local function last_of(...)
  local count = select("#", ...)
  if count > 0 then return (select(count, ...)) end
end

local function transformed(result)
  if type(result) ~= "table" then
    error("the script must return a table, not " .. (result == nil and "nothing" or "a " .. type(result)), 0)
  end
  local out = {}
  encode(result, out, 1, 1)
  return concat(out)
end

local function work(chunk, is_filter)
  local result = last_of(chunk())
  if is_filter then return result == true end
  return transformed(result)
end

local last

local function ended(ok, result)
  if expired then error(TOO_LONG, 0) end
  sethook()
  current, last = nil, result
  if ok then return true, result end
  if type(result) == "string" or type(result) == "number" then return nil, result end
  return nil, "the script failed with a " .. type(result) .. " as error"
end

local function run(chunk, event, is_filter, seconds)
  current = environment(event)
  setfenv(chunk, current)
  expired, limit = false, clock() + seconds
  sethook(hook, "", STEPS)
  return ended(pcall(work, chunk, is_filter))
end

-- The last result once more, for when it is not UTF-8, as hexadecimal digits.
local function last_bytes()
  return (gsub(last, ".", function(char) return format("%02x", byte(char)) end))
end

local function compile(text)
  if byte(text) == 27 then return nil, "compiled code is not available here" end
  return loadstring(text, "=script")
end

for name in next, copy(raw) do raw[name] = nil end
collectgarbage("setpause", 110)  -- garbage counts towards the limit, and nothing collects when it is reached

return compile, run, last_bytes
