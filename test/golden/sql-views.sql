-- Views that sql-views.test.ts holds against DuckDB, and sql-views-flink.test.ts against Flink.

CREATE VIEW all_trips AS
SELECT window_start, window_end, COUNT(*) AS trips
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '10' MINUTE))
GROUP BY window_start, window_end;

CREATE VIEW with_offset AS
SELECT window_start, window_end, vendor_id, COUNT(*) AS trips, SUM(total_amount) AS amount
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' HOUR, INTERVAL '20' MINUTE))
GROUP BY window_start, window_end, vendor_id;

CREATE VIEW by_named_arguments AS
SELECT window_start, window_end, MIN(total_amount) AS least, MAX(total_amount) AS most
FROM TABLE(TUMBLE(DATA => TABLE trips, TIMECOL => DESCRIPTOR(dropoff_datetime), SIZE => INTERVAL '2' HOUR))
GROUP BY window_start, window_end;

CREATE VIEW hopping AS
SELECT window_start, window_end, AVG(trip_distance) AS miles
FROM TABLE(HOP(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '15' MINUTE, INTERVAL '1' HOUR)) AS t
GROUP BY window_start, window_end;

CREATE VIEW hopping_unevenly AS
SELECT window_start, window_end, COUNT(t.total_amount) AS paid
FROM TABLE(HOP(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '25' MINUTE, INTERVAL '60' MINUTE)) t
GROUP BY window_start, window_end;

CREATE VIEW cumulating AS
SELECT window_start, window_end, SUM(total_amount) AS amount, COUNT(DISTINCT vendor_id) AS vendors
FROM TABLE(CUMULATE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '2' HOUR, INTERVAL '1' DAY))
GROUP BY window_start, window_end;

CREATE VIEW vendor_sessions AS
SELECT window_start, window_end, vendor_id, COUNT(*) AS trips, AVG(total_amount) AS amount
FROM TABLE(SESSION(TABLE trips PARTITION BY vendor_id, DESCRIPTOR(dropoff_datetime), INTERVAL '9' MINUTE))
GROUP BY window_start, window_end, vendor_id;

CREATE VIEW quiet_times AS
SELECT window_start, window_end, COUNT(*) AS trips, COUNT(DISTINCT pickup_zone) AS zones
FROM TABLE(SESSION(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '4' MINUTE))
GROUP BY window_start, window_end;

CREATE VIEW zone_sessions AS
SELECT window_start, window_end, vendor_id, pickup_zone, COUNT(*) AS trips
FROM TABLE(SESSION(TABLE trips PARTITION BY (vendor_id, pickup_zone), DESCRIPTOR(dropoff_datetime), INTERVAL '30' MINUTE))
WHERE total_amount > 5
GROUP BY window_start, window_end, vendor_id, pickup_zone
HAVING COUNT(*) > 1;

CREATE VIEW cells AS
SELECT window_start, window_end, GEOHASH(pickup_lat, pickup_lon, 5) AS cell, COUNT(*) AS trips
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '6' HOUR))
WHERE pickup_lat BETWEEN 40.6 AND 40.8 AND pickup_lon BETWEEN -74.05 AND -73.8
GROUP BY window_start, window_end, GEOHASH(pickup_lat, pickup_lon, 5);

CREATE VIEW spread AS
SELECT window_start, window_end, STDDEV_POP(total_amount) AS pop, STDDEV_SAMP(total_amount) AS samp,
  VAR_POP(trip_distance) AS v_pop, VAR_SAMP(trip_distance) AS v_samp
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '3' HOUR))
GROUP BY window_start, window_end;

CREATE VIEW percentiles AS
SELECT window_start, window_end, vendor_id, PERCENTILE(total_amount, 0.5) AS median,
  PERCENTILE(TIMESTAMPDIFF(MINUTE, pickup_datetime, dropoff_datetime), 0.95) AS p95, PERCENTILE(trip_distance, 1) AS longest
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '12' HOUR))
GROUP BY window_start, window_end, vendor_id;

CREATE VIEW first_and_last AS
SELECT window_start, window_end, FIRST_VALUE(trip_id) AS first_trip, LAST_VALUE(trip_id) AS last_trip
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' HOUR))
GROUP BY window_start, window_end;

CREATE VIEW filtered AS
SELECT window_start, window_end,
  COUNT(*) FILTER (WHERE passenger_count > 1) AS shared,
  COUNT(*) FILTER (WHERE NOT (passenger_count > 1)) AS alone,
  SUM(total_amount) FILTER (WHERE vendor_id = 'b' AND trip_distance IS NOT NULL) AS amount_b
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' HOUR))
GROUP BY window_start, window_end;

-- Conditions are true, false or unknown: NOT of unknown is unknown.
CREATE VIEW three_valued AS
SELECT window_start, window_end, COUNT(*) AS trips
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' HOUR))
WHERE NOT (total_amount > 20 AND trip_distance < 5) AND NOT vendor_id IN ('a', 'c')
GROUP BY window_start, window_end;

CREATE VIEW unknown_or_not AS
SELECT window_start, window_end, COUNT(*) AS trips
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' HOUR))
WHERE (total_amount > 20) IS NOT TRUE OR (trip_distance BETWEEN 2 AND 4) IS UNKNOWN OR (passenger_count NOT BETWEEN 1 AND 2) IS FALSE
GROUP BY window_start, window_end;

CREATE VIEW conditions AS
SELECT window_start, window_end, COUNT(*) AS trips
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '30' MINUTE))
WHERE (vendor_id <> 'a' OR pickup_zone NOT IN (1, 2, 3)) AND trip_distance * 2 - 1 >= 3 AND total_amount / trip_distance < 30
GROUP BY window_start, window_end;

CREATE VIEW by_case AS
SELECT window_start, window_end,
  CASE WHEN trip_distance < 2 THEN 'short' WHEN trip_distance < 6 THEN 'middle' ELSE 'long' END AS length,
  CASE vendor_id WHEN 'a' THEN 1 WHEN 'b' THEN 2 END AS number,
  COUNT(*) AS trips
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '4' HOUR))
GROUP BY window_start, window_end,
  CASE WHEN trip_distance < 2 THEN 'short' WHEN trip_distance < 6 THEN 'middle' ELSE 'long' END,
  CASE vendor_id WHEN 'a' THEN 1 WHEN 'b' THEN 2 END;

CREATE VIEW fallbacks AS
SELECT window_start, window_end, COALESCE(pickup_zone, dropoff_zone, 0) AS zone,
  SUM(COALESCE(total_amount, 0)) AS amount, COUNT(NULLIF(passenger_count, 1)) AS not_alone,
  AVG(total_amount / NULLIF(passenger_count, 0)) AS each_pays
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '6' HOUR))
GROUP BY window_start, window_end, COALESCE(pickup_zone, dropoff_zone, 0);

CREATE VIEW casts AS
SELECT window_start, window_end, CAST(trip_distance AS INT) AS miles, MOD(pickup_zone, 3) AS third,
  SUM(pickup_zone / 2) AS halves, SUM(FLOOR(total_amount)) AS floors, SUM(CEIL(total_amount)) AS ceils, MIN(ABS(total_amount - 20)) AS near
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '12' HOUR))
GROUP BY window_start, window_end, CAST(trip_distance AS INT), MOD(pickup_zone, 3);

CREATE VIEW by_hour AS
SELECT window_start, window_end, EXTRACT(HOUR FROM pickup_datetime) AS pickup_hour, DAYOFWEEK(dropoff_datetime) AS weekday, COUNT(*) AS trips
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '7' DAY, INTERVAL '4' DAY))
GROUP BY window_start, window_end, EXTRACT(HOUR FROM pickup_datetime), DAYOFWEEK(dropoff_datetime);

CREATE VIEW calendar_parts AS
SELECT window_start, window_end, MIN(EXTRACT(WEEK FROM dropoff_datetime)) AS first_week, MAX(EXTRACT(DOY FROM dropoff_datetime)) AS last_day,
  MAX(EXTRACT(ISODOW FROM dropoff_datetime)) AS last_weekday, MIN(QUARTER(dropoff_datetime)) AS first_quarter, MAX(MINUTE(dropoff_datetime)) AS last_minute
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '3' DAY))
WHERE dropoff_datetime >= TIMESTAMP '2016-03-10 12:00:00' AND dropoff_datetime < TIMESTAMP '2016-11-08 00:00:00.5'
GROUP BY window_start, window_end;

-- A view without a window stands for its columns.
CREATE VIEW rides AS
SELECT *, TIMESTAMPDIFF(SECOND, pickup_datetime, dropoff_datetime) AS seconds, trip_distance AS miles
FROM trips
WHERE trip_distance > 0.5 AND pickup_datetime IS NOT NULL;

CREATE VIEW speeds AS
SELECT window_start, window_end, vendor_id, AVG(miles / NULLIF(seconds, 0) * 3600) AS mph, MAX(seconds) AS longest
FROM TABLE(TUMBLE(TABLE rides, DESCRIPTOR(dropoff_datetime), INTERVAL '6' HOUR))
WHERE seconds > 60
GROUP BY window_start, window_end, vendor_id
HAVING AVG(miles / NULLIF(seconds, 0) * 3600) > 5 AND MAX(seconds) > 4500;

CREATE VIEW by_pickup_time AS
SELECT window_start, window_end, COUNT(*) AS trips, LAST_VALUE(trip_id) AS last_trip
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(pickup_datetime), INTERVAL '30' MINUTE))
GROUP BY window_start, window_end;

CREATE VIEW busiest AS
SELECT * FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY trips DESC, zone) AS rownum
  FROM (
    SELECT window_start, window_end, pickup_zone AS zone, COUNT(*) AS trips
    FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '2' HOUR))
    GROUP BY window_start, window_end, pickup_zone
  )
) WHERE rownum <= 3;

CREATE VIEW best_of_each AS
SELECT window_start, window_end, vendor_id, pickup_zone, amount FROM (
  SELECT window_start, window_end, vendor_id, pickup_zone, amount,
    ROW_NUMBER() OVER (PARTITION BY window_start, window_end, vendor_id ORDER BY amount DESC, pickup_zone ASC) AS place
  FROM (
    SELECT window_start, window_end, vendor_id, pickup_zone, SUM(total_amount) AS amount
    FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' DAY))
    GROUP BY window_start, window_end, vendor_id, pickup_zone
  )
) WHERE place = 1;

-- Days of New York: of 23 hours on 13 March, of 25 hours on 6 November.
SET 'table.local-time-zone' = 'America/New_York';

CREATE VIEW local_days AS
SELECT window_start, window_end, COUNT(*) AS trips, SUM(total_amount) AS amount
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' DAY))
GROUP BY window_start, window_end;

CREATE VIEW local_weeks AS
SELECT window_start, window_end, COUNT(*) AS trips
FROM TABLE(HOP(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' DAY, INTERVAL '7' DAY))
GROUP BY window_start, window_end;

CREATE VIEW local_progress AS
SELECT window_start, window_end, COUNT(*) AS trips
FROM TABLE(CUMULATE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '6' HOUR, INTERVAL '1' DAY))
GROUP BY window_start, window_end;

CREATE VIEW local_hours AS
SELECT window_start, window_end, HOUR(dropoff_datetime) AS hour_of_day, COUNT(*) AS trips
FROM TABLE(TUMBLE(TABLE trips, DESCRIPTOR(dropoff_datetime), INTERVAL '1' DAY))
WHERE dropoff_datetime >= TIMESTAMP '2016-03-12 00:00:00'
GROUP BY window_start, window_end, HOUR(dropoff_datetime);
