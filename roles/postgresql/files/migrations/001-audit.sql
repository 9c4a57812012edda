-- The log of what users did: a partition a month, times with their zone, a key (res-C6). It belongs to who brings migrations, so that applications can
-- add to it and do nothing else.
CREATE SCHEMA audit;
CREATE TABLE audit.audit_logs (
  id bigint GENERATED ALWAYS AS IDENTITY,
  event_time timestamptz NOT NULL DEFAULT clock_timestamp(),
  user_id varchar(255),
  action varchar(100) NOT NULL,
  details jsonb,
  -- A key of a partitioned table has what it is partitioned by.
  PRIMARY KEY (event_time, id)
) PARTITION BY RANGE (event_time);
CREATE INDEX audit_logs_user ON audit.audit_logs (user_id, event_time);

CREATE FUNCTION audit.make_partitions(months integer) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
  -- Bounds are those of UTC, whatever zone the session is in.
  first timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
BEGIN
  FOR month IN 0..months LOOP
    EXECUTE format(
      'CREATE TABLE IF NOT EXISTS audit.%I PARTITION OF audit.audit_logs FOR VALUES FROM (%L) TO (%L)',
      to_char(first + make_interval(months => month), '"audit_logs_"YYYY_MM'),
      (first + make_interval(months => month)) AT TIME ZONE 'UTC',
      (first + make_interval(months => month + 1)) AT TIME ZONE 'UTC'
    );
  END LOOP;
END
$$;
REVOKE ALL ON FUNCTION audit.make_partitions FROM PUBLIC;

GRANT USAGE ON SCHEMA audit TO audit_writer, audit_reader;
GRANT INSERT ON audit.audit_logs TO audit_writer;
GRANT SELECT ON audit.audit_logs TO audit_reader;
