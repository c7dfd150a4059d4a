FROM python:3.12-slim
RUN useradd --create-home stockpred && mkdir -p /srv/stockpred/media /srv/stockpred/logs && chown -R stockpred /srv/stockpred
WORKDIR /srv/stockpred
COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=stockpred manage.py ./
COPY --chown=stockpred stockpred stockpred
COPY --chown=stockpred forecasting forecasting
USER stockpred
ENV HOST=0.0.0.0 DEBUG=False PYTHONUNBUFFERED=1
EXPOSE 8000
CMD ["python", "manage.py", "web"]
