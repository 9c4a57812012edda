-- An Application is healthy when what it brings is, and when that is what Git says now: else those of the next wave would begin on what was there before.
local status = obj.status or {}
local health = status.health or {}
local sync = status.sync or {}
if health.status == "Healthy" and sync.status ~= "Synced" then
  return {status = "Progressing", message = "is not synchronised with Git yet"}
end
return {status = health.status or "Progressing", message = health.message or ""}
