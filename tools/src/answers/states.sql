-- States that a user keeps in a table: an empty one, and two of a day's contacts.
CREATE TABLE public.states (
    device_id text PRIMARY KEY, heartbeats iot_kpi.heartbeats, status_timeline iot_kpi.status_timeline, cadence iot_kpi.cadence,
    response_sketch iot_kpi.response_sketch, throughput iot_kpi.throughput
);
INSERT INTO public.states
SELECT device_id, iot_kpi.heartbeat_agg(time, '15 min'),
       (SELECT iot_kpi.status_agg(h.time, h.status) FROM iot.device_status_history h WHERE h.device_id = d.device_id),
       iot_kpi.cadence_agg(time) FILTER (WHERE metric = 'heartbeat'),
       iot_kpi.response_agg(value) FILTER (WHERE metric = 'response_time'),
       iot_kpi.throughput_agg(time, value, 'counter') FILTER (WHERE metric = 'pulses')
FROM (VALUES ('AIR_001'), ('CAM_001'), ('none')) d (device_id) LEFT JOIN iot.device_metrics m USING (device_id)
GROUP BY device_id;
