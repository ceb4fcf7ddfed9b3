SELECT unit FROM iot.metric_types WHERE metric = $1
